import { beforeEach, describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { fromHex, toHex, utf8 } from "../../../src/base/bytes.ts";
import { INCARNATION_BYTES, incarnationOf, ownerIdOf, swarmIdOf } from "../../../src/base/ids.ts";
import { Catalog, checkTrail, readTrailEntry, Trail, type TrailPlan } from "../../../src/catalog/index.ts";
import { signStatement } from "../../../src/crypto/signed.ts";
import { type Locator, TRAIL_PAGES_MAX, type TrailStanding } from "../../../src/wire/head.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import { trailBody } from "../../../src/wire/trail.ts";
import { MemoryStore, signer, TestClock } from "../membership/world.ts";

const swarm = swarmIdOf(new Uint8Array(32).fill(1));
const owner = ownerIdOf(new Uint8Array(32).fill(2));
const life = incarnationOf(new Uint8Array(INCARNATION_BYTES).fill(3));
const node = signer("node");

let store: MemoryStore;
let catalog: Catalog;
let trail: Trail;
const clock = new TestClock();
const open = () => Trail.open({ catalog, clock, signer: node }, { swarm });
const entries = async () => trail.entries();
const problemsOf = (given: readonly { sequence: number; bytes: Uint8Array }[], end?: TrailStanding) =>
  checkTrail(given, { swarm, ...(end === undefined ? {} : { end }) }).problems;

beforeEach(async () => {
  store = new MemoryStore();
  catalog = await Catalog.create(store, { owner, incarnation: life });
  trail = await open();
});

async function enter(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await trail.append("pin", { snapshot: `s${i}` });
}

const locatorAt = (segment: number): Locator => ({
  id: new Uint8Array(32).fill(segment % 256),
  ...{
    incarnation: 0,
    class: 0,
    segment,
    frame: 1,
    offset: 100,
    sealedBytes: 10,
    rawBytes: 10,
    compressed: false,
  },
});

/** As a head would write it down. */
let segments = 0;
async function commit(plan: TrailPlan | undefined): Promise<{ stored: number }> {
  const { sequence, hash, pages } = must(plan, "plan");
  const standing = pages.map((page) => ({
    from: page.from,
    entries: page.entries,
    at: "at" in page ? page.at : locatorAt(++segments),
  }));
  await catalog.update({ trail: { sequence, hash, pages: standing } });
  return { stored: pages.filter((page) => "bytes" in page).length };
}

describe("an audit trail", () => {
  it("is a chain of signed entries that goes on after a restart", async () => {
    await enter(3);
    trail = await open();
    await trail.append("restore", { target: "/srv", files: 3 });
    const checked = checkTrail(await entries(), { swarm });
    expect(checked.problems).toEqual([]);
    expect(checked.entries.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(checked.entries.at(-1)?.body).toMatchObject({
      what: "restore",
      details: [
        ["target", "/srv"],
        ["files", "3"],
      ],
    });
  });

  it("shows every change, gap, exchange and insertion", async () => {
    await enter(6);
    const whole = await entries();
    for (const [at, { sequence, bytes }] of whole.entries()) {
      for (const position of [40, bytes.length - 90, bytes.length - 3]) {
        const changed = bytes.with(position, (bytes[position] ?? 0) ^ 1);
        expect(problemsOf(whole.with(at, { sequence, bytes: changed }))).not.toEqual([]);
      }
      const without = whole.filter((_, i) => i !== at);
      if (at > 0 && at < whole.length - 1)
        expect(problemsOf(without)).toMatchObject([
          { sequence: at, reason: expect.stringContaining("missing") },
        ]);
    }
    const [first, second, third] = whole;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three");
    const exchanged = [first, { sequence: 2, bytes: third.bytes }, { sequence: 3, bytes: second.bytes }];
    expect(
      problemsOf(exchanged)
        .map(({ reason }) => reason)
        .join(),
    ).toContain("put in another's place");
    // By the right key, with what was said there, but not after the entry before it.
    const other = signStatement(
      {
        ...{ type: "trail", swarm, incarnation: life, epoch: 3 },
        body: trailBody.encode({ ...readTrailEntry(third.bytes, swarm).body, previous: new Uint8Array(32) }),
      },
      node,
    );
    const inserted = [first, second, { sequence: 3, bytes: encodeSigned(other) }];
    expect(problemsOf(inserted)).toMatchObject([
      { sequence: 3, reason: expect.stringContaining("does not follow") },
    ]);
    const foreign = checkTrail(whole, { swarm, isNode: () => false });
    expect(foreign.problems).toHaveLength(6);
  });

  it("cannot be cut off behind what a signed head says", async () => {
    await enter(5);
    await commit(await trail.plan(128, () => true));
    const end = must(catalog.state.trail, "trail");
    const whole = await entries();
    expect(problemsOf(whole, end)).toEqual([]);
    expect(problemsOf(whole.slice(0, 3), end)).toMatchObject([
      { sequence: 3, reason: expect.stringContaining("entries up to 5 are missing") },
    ]);
    // A home whose end was cut off does not give the numbers a second time.
    await store.write([{ type: "delete", key: must(lastKey(store), "key") }], { sync: true });
    trail = await open();
    await trail.append("pin", {});
    expect(problemsOf(await entries(), end)).toMatchObject([
      { sequence: 4, reason: expect.stringContaining("missing") },
    ]);
  });

  it("stores with a head what is new, and full pages once", async () => {
    await enter(10);
    expect(await commit(await trail.plan(4, () => true))).toEqual({ stored: 3 });
    expect(catalog.state.trail?.pages.map(({ from, entries: count }) => [from, count])).toEqual([
      [1, 4],
      [5, 4],
      [9, 2],
    ]);
    expect(await commit(await trail.plan(4, () => true))).toEqual({ stored: 0 });
    await enter(1);
    expect(await commit(await trail.plan(4, () => true))).toEqual({ stored: 1 });
    const moved = must(catalog.state.trail?.pages[1], "page").at.segment;
    expect(await commit(await trail.plan(4, ({ number }) => number !== moved))).toEqual({ stored: 1 });
    expect(catalog.state.trail?.pages.map(({ from }) => from)).toEqual([1, 5, 9]);
  });

  it("goes on in a recovered home, which has none of the pages", async () => {
    await enter(6);
    await commit(await trail.plan(4, () => true));
    const { trail: standing } = catalog.state;
    const recovered = new MemoryStore();
    const second = incarnationOf(new Uint8Array(INCARNATION_BYTES).fill(4));
    const state = { ...catalog.state, incarnations: [life, second] };
    catalog = await Catalog.import(recovered, state);
    trail = await open();
    await trail.append("recover", {});
    const [entry] = await entries();
    expect(readTrailEntry(must(entry, "entry").bytes, swarm)).toMatchObject({
      sequence: 7,
      incarnation: second,
    });
    await commit(await trail.plan(4, () => false));
    expect(catalog.state.trail?.pages.slice(0, 2)).toEqual(standing?.pages);
    expect(catalog.state.trail?.pages.map(({ from, entries: count }) => [from, count])).toEqual([
      [1, 4],
      [5, 2],
      [7, 1],
    ]);
  });

  it("is bounded: the oldest pages go, and their entries here", async () => {
    for (let round = 0; round < TRAIL_PAGES_MAX + 3; round++) {
      await enter(2);
      await commit(await trail.plan(2, () => true));
    }
    await trail.forgetOld();
    const kept = catalog.state.trail?.pages ?? [];
    expect(kept).toHaveLength(TRAIL_PAGES_MAX);
    expect((await entries())[0]?.sequence).toBe(kept[0]?.from);
    expect(problemsOf(await entries(), catalog.state.trail)).toEqual([]);
  });

  it("is written by nobody who only looks", async () => {
    await catalog.update({ readOnly: true });
    await enter(1);
    expect(await entries()).toEqual([]);
  });
});

function lastKey(from: MemoryStore): Uint8Array | undefined {
  const table = toHex(utf8("a"));
  return fromHex(
    [...from.map.keys()]
      .filter((key) => key.startsWith(table))
      .sort()
      .at(-1) ?? "zz",
  );
}
