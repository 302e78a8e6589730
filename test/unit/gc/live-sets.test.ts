import { beforeEach, describe, expect, it } from "vitest";
import { incarnationOf } from "../../../src/base/ids.ts";
import { LiveSet, liveListOf } from "../../../src/gc/index.ts";
import { type LiveList, liveList } from "../../../src/wire/live-set.ts";
import { liveSpans, PaperHolder, shardOf, signLive } from "../../support/collecting.ts";
import { LIFE, node } from "../../support/repairs.ts";

const SECOND_LIFE = incarnationOf(new Uint8Array(16).fill(9));
const omitting = (...numbers: number[]) => [liveSpans(LIFE, 10, new Set(numbers))];

let holder: PaperHolder;
const standing = (number: number, life = LIFE) => holder.liveSets.standing(shardOf(number, life));

beforeEach(() => {
  holder = new PaperHolder();
});

describe("a live set", () => {
  it("of more runs than it may have lists the shortest gaps as wanted: too much is kept, never too little", () => {
    const omitted = [1, 4, 5, 9, 10, 11, 20];
    const lives = [liveSpans(LIFE, 30, new Set(omitted)), liveSpans(SECOND_LIFE, 30, new Set([2]))];
    const left = (runsMax: number) => {
      const list = new LiveSet(liveListOf(lives, runsMax));
      return [LIFE, SECOND_LIFE].map((incarnation) =>
        Array.from({ length: 31 }, (_, number) => number).filter(
          (number) => list.standing({ incarnation, number }) === "omitted",
        ),
      );
    };
    expect(left(7)).toEqual([omitted, [2]]);
    expect(left(6)).toEqual([[4, 5, 9, 10, 11], []]);
    expect(left(3)).toEqual([[9, 10, 11], []]);
    expect(left(2)).toEqual([[], []]);
    const drawn = (runsMax: number) => liveListOf(lives, runsMax).lives.map(({ runs }) => runs.length / 2);
    expect([drawn(7), drawn(6), drawn(2)]).toEqual([
      [5, 2],
      [3, 1],
      [1, 1],
    ]);
  });

  it("says of each number below its bound whether it is wanted, and nothing of others", async () => {
    expect(standing(3)).toBeUndefined();
    await holder.take(signLive(omitting(3, 4, 9), 1));
    expect([0, 2, 3, 4, 5, 8, 9, 10].map((number) => standing(number))).toEqual([
      "live",
      "live",
      "omitted",
      "omitted",
      "live",
      "live",
      "omitted",
      "not-covered",
    ]);
    holder.restart();
    expect(standing(3)).toBe("omitted");
  });

  it("is taken of its owner's key alone, and with the list that was signed", async () => {
    const forged = signLive(omitting(3), 1, { key: node(4).key });
    await expect(holder.take(forged)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
    const { record } = signLive(omitting(), 1);
    const { list } = signLive(omitting(1, 2), 1);
    await expect(holder.take({ record, list })).rejects.toMatchObject({ code: "FORMAT_INVALID" });
    expect(standing(3)).toBeUndefined();
  });

  it("never goes back, and does not leap", async () => {
    await holder.take(signLive(omitting(3), 5));
    await expect(holder.take(signLive(omitting(4), 4))).rejects.toMatchObject({ code: "RECORD_STALE" });
    await expect(holder.take(signLive(omitting(4), 6 + 2 ** 32))).rejects.toMatchObject({
      code: "RECORD_STALE",
    });
    await holder.take(signLive(omitting(3), 5));
    expect([standing(3), standing(4)]).toEqual(["omitted", "live"]);
    await holder.take(signLive(omitting(4), 6));
    expect([standing(3), standing(4)]).toEqual(["live", "omitted"]);
  });

  it("that is one of two of an epoch entitles nobody any more, nor do later ones of that life", async () => {
    await holder.take(signLive(omitting(3), 5));
    await expect(holder.take(signLive(omitting(4), 5))).rejects.toMatchObject({ code: "RECORD_STALE" });
    expect(standing(3)).toBeUndefined();
    await holder.take(signLive(omitting(3), 6));
    holder.restart();
    expect(standing(3)).toBeUndefined();
    expect(await holder.liveSets.forks(10)).toMatchObject([{ incarnation: LIFE, epoch: 5 }]);
  });

  it("of a life that is not the segment's says nothing, until the recovery key has certified it", async () => {
    await holder.take(signLive(omitting(3), 9, { life: SECOND_LIFE }));
    expect(standing(3)).toBeUndefined();
    holder.certified = SECOND_LIFE;
    expect(standing(3)).toBe("omitted");
  });

  it("of a fenced life is refused, and what it had omitted is wanted again until the certified one speaks", async () => {
    await holder.take(signLive(omitting(3), 5));
    holder.certified = SECOND_LIFE;
    expect(standing(3)).toBeUndefined();
    await expect(holder.take(signLive(omitting(3), 6))).rejects.toMatchObject({ code: "FENCED" });
    await holder.take(signLive(omitting(7), 1, { life: SECOND_LIFE }));
    expect([standing(3), standing(7)]).toEqual(["live", "omitted"]);
  });

  it("of more lives than a home can have had are not kept, and a certified one all the same", async () => {
    for (let life = 20; life < 28; life++)
      await holder.take(signLive(omitting(), 1, { life: incarnationOf(new Uint8Array(16).fill(life)) }));
    const one = signLive(omitting(3), 1, { life: SECOND_LIFE });
    await expect(holder.take(one)).rejects.toMatchObject({ code: "NOT_ALLOWED" });
    holder.certified = SECOND_LIFE;
    await holder.take(one);
    expect(standing(3)).toBe("omitted");
  });
});

it.each<[string, LiveList["lives"]]>([
  ["a life twice", [0, 0].map(() => ({ incarnation: LIFE, below: 1, runs: [] }))],
  ["half a run", [{ incarnation: LIFE, below: 9, runs: [1] }]],
  ["an empty run", [{ incarnation: LIFE, below: 9, runs: [1, 0] }]],
  ["runs that touch", [{ incarnation: LIFE, below: 9, runs: [1, 2, 0, 2] }]],
  ["a run beyond its bound", [{ incarnation: LIFE, below: 3, runs: [1, 3] }]],
])("a list with %s is none", (_, lives) => {
  const bytes = liveList.encode({ v: 1, lives });
  expect(() => new LiveSet(liveList.decode(bytes))).toThrow(
    expect.objectContaining({ code: "FORMAT_INVALID" }),
  );
});

it("a list that was altered on disk entitles nobody", async () => {
  await holder.take(signLive(omitting(3), 1));
  const pages: Uint8Array[] = [];
  for await (const [key] of holder.disk.scan({ from: Uint8Array.of(2), to: Uint8Array.of(3) }))
    pages.push(key);
  const { list } = signLive(omitting(4), 1);
  for (const key of pages) await holder.disk.write([{ type: "put", key, value: list }], { sync: true });
  holder.restart();
  expect([standing(3), standing(4)]).toEqual([undefined, undefined]);
});
