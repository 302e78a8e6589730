import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { must } from "../../../src/base/assert.ts";
import type { Log } from "../../../src/base/log.ts";
import { HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { moveSlot, slotsOf } from "../../../src/placement/index.ts";
import { RepairBook, RepairJudge } from "../../../src/repair/index.ts";
import { REPAIR_RULES } from "../../../src/upkeep/index.ts";
import type { RepairBody } from "../../../src/wire/repair.ts";
import {
  ABSENT,
  AT,
  descriptorOf,
  KEYS,
  LIFE,
  NODES,
  NOW_MS,
  node,
  PaperSwarm,
  rankOf,
  receiptOf,
  repairOf,
  SLOTS,
  SWARM,
  silenceOf,
  statusOf,
} from "../../support/repairs.ts";
import { ownerKeys } from "../../support/segments.ts";

// Which repair records change a map, and which do nothing but leave a line in the log.

let paper: PaperSwarm;
let metaDisk: SimMetaDisk;
let book: RepairBook;
let lines: { event: string; why: unknown }[];

beforeEach(() => {
  paper = new PaperSwarm();
  const clock = new VirtualClock(NOW_MS);
  metaDisk = new SimMetaDisk(new SimDisk({ clock, rng: new SeededRng("book"), totalBytes: 1e9 }));
  book = open();
});

function open(): RepairBook {
  lines = [];
  const note = (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
    void lines.push({ event, why: fields["why"] });
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const clock = new VirtualClock(NOW_MS);
  const judge = new RepairJudge({ ...paper, clock }, { rules: REPAIR_RULES });
  const signedMaps = async () => new Map([[LIFE, paper.map]]);
  return new RepairBook({ store: metaDisk.open(), signedMaps, judge, log }, { swarm: SWARM });
}

const offer = (...records: Uint8Array[]) => book.offer(KEYS.owner, records, node(8).peer);
const slots = async () => {
  const [map] = await book.maps(KEYS.owner);
  return slotsOf(must(map, "map").now, AT.classId, 0);
};
const moved = (slot: number, to: number) => SLOTS.with(slot, node(to).peer);

/** It has no effect, and a line says why. */
async function expectRefused(why: string | RegExp, ...records: Uint8Array[]): Promise<void> {
  const before = await slots();
  expect(await offer(...records)).toEqual({ taken: 0, waiting: 0, refused: records.length });
  expect(await slots()).toEqual(before);
  expect(lines.at(-1)).toMatchObject({ event: "repair-refused", why: expect.stringMatching(why) });
}

describe("a repair that holds", () => {
  it("names the new holder from then on, and still does after a restart", async () => {
    expect(await offer(repairOf())).toEqual({ taken: 1, waiting: 0, refused: 0 });
    expect(await slots()).toEqual(moved(0, 6));
    book = open();
    expect(await slots()).toEqual(moved(0, 6));
    expect(await offer(repairOf())).toEqual({ taken: 0, waiting: 0, refused: 0 });
  });

  it("holds for each of the causes", async () => {
    const from = node(1).peer;
    const causes: [string, RepairBody["cause"], () => void][] = [
      ["absent", ABSENT, () => {}],
      ["convicted", { t: "convicted" }, () => paper.suspects.add(from)],
      ["gone", { t: "gone-from-roster" }, () => paper.gone.add(from)],
      ["draining", { t: "draining", statement: statusOf(node(1), true) }, () => {}],
    ];
    for (const [name, cause, make] of causes) {
      paper = new PaperSwarm();
      const clock = new VirtualClock(NOW_MS);
      metaDisk = new SimMetaDisk(new SimDisk({ clock, rng: new SeededRng(name), totalBytes: 1e9 }));
      book = open();
      make();
      expect(await offer(repairOf({ cause })), name).toMatchObject({ taken: 1 });
    }
  });

  it("goes on from the one before it, whichever comes first", async () => {
    const [one, two] = [repairOf(), secondStep()];
    await offer(two);
    expect(await slots()).toEqual(SLOTS);
    await offer(one);
    expect(await slots()).toEqual(moved(0, 7));
  });

  it("ends with the owner's next word about the slot", async () => {
    await offer(repairOf());
    paper.map = moveSlot(paper.map, AT, 0, node(8).peer);
    expect(await slots()).toEqual(moved(0, 8));
    // Shown by somebody who has not heard of it yet.
    expect(await offer(repairOf({}, node(3)))).toEqual({ taken: 0, waiting: 0, refused: 0 });
    expect(await slots()).toEqual(moved(0, 8));
    await book.prune(KEYS.owner);
    expect((await book.page(KEYS.owner, undefined, { records: 9, bytes: 1e6 })).records).toEqual([]);
  });

  it("waits for what this node has not heard of yet, and is tried again", async () => {
    expect(await offer(repairOf({ ownerVersion: 2 }))).toMatchObject({ waiting: 1 });
    expect(await offer(repairOf({ rosterEpoch: NOW_MS }))).toMatchObject({ waiting: 1 });
    expect(await offer(repairOf({ cause: { t: "convicted" } }))).toMatchObject({ waiting: 1 });
    expect(await slots()).toEqual(SLOTS);
    paper.suspects.add(node(1).peer);
    await book.retry();
    expect(await slots()).toEqual(moved(0, 6));
  });
});

/** Node 7 takes over from node 6. */
function secondStep(): Uint8Array {
  const witnesses = [2, 4, 5].map((observer) => silenceOf(node(observer), node(6)));
  const cause = { t: "absent" as const, witnesses };
  return repairOf({ repairs: 2, from: node(6).peer, cause }, node(2), node(7));
}

describe("no effect but a line in the log has", () => {
  it("an inflated version: it hangs in the air, or is impossible", async () => {
    expect(await offer(repairOf({ repairs: 900 }))).toMatchObject({ refused: 0 });
    expect(await slots()).toEqual(SLOTS);
    expect(() => repairOf({ repairs: 1025 })).toThrow("too_big");
  });

  it("a record without a cause: the slot is not empty, the holder still listed, not draining, no rule broken", async () => {
    await expectRefused("slot-is-not-empty", repairOf({ cause: { t: "empty" } }));
    await expectRefused("holder-is-still-listed", repairOf({ cause: { t: "gone-from-roster" } }));
    await expectRefused(
      /not say/,
      repairOf({ cause: { t: "draining", statement: statusOf(node(1), false) } }),
    );
    await expectRefused(
      "cause-is-about-another",
      repairOf({ cause: { t: "draining", statement: statusOf(node(3), true) } }),
    );
    expect(await offer(repairOf({ cause: { t: "same-peer" } }))).toMatchObject({ taken: 0 });
    expect(await slots()).toEqual(SLOTS);
  });

  it("forged witnesses, too few of them, the same one twice, one about somebody else", async () => {
    const of = (...observers: number[]) => ({
      t: "absent" as const,
      witnesses: observers.map((observer) => silenceOf(node(observer), node(1))),
    });
    await expectRefused("witnesses-too-few", repairOf({ cause: of(2, 3) }));
    await expectRefused("witnesses-too-few", repairOf({ cause: of(2, 2, 2) }));
    await expectRefused(
      /witness speaks/,
      repairOf({ cause: { t: "absent", witnesses: [silenceOf(node(2), node(4))] } }),
    );
    const forged = silenceOf(node(5), node(1));
    forged[forged.length - 10] = (forged[forged.length - 10] ?? 0) ^ 1;
    const witnesses = [...of(2, 3).witnesses, forged];
    await expectRefused(/signature/, repairOf({ cause: { t: "absent", witnesses } }));
  });

  it("denouncing a node that this one has heard", async () => {
    const runs = [{ fromMs: NOW_MS - 5 * HOUR_MS, toMs: NOW_MS - MINUTE_MS }];
    for (const { peer } of NODES) paper.heard.set(peer, { ...paper.presence.hearings(peer), runs });
    await expectRefused("holder-was-heard", repairOf());
  });

  it("a receipt of another holder, for another shard, or that nobody signed", async () => {
    await expectRefused(/key signed it|signature/, repairOf({ receipt: receiptOf(node(7), 0) }));
    await expectRefused(/another shard/, repairOf({ receipt: receiptOf(node(6), 1) }));
  });

  it("a descriptor that the owner did not sign", async () => {
    await expectRefused(/another row/, repairOf({ descriptor: descriptorOf(ownerKeys(9).signer) }));
  });

  it("a rank that is made up, and giving the slot to the owner's own node", async () => {
    await expectRefused("rank-is-wrong", repairOf({ rank: rankOf(node(6).peer) === 0 ? 1 : 0 }));
    const own = node(0);
    await expectRefused(
      "holder-is-the-owner",
      repairOf({ to: own.peer, rank: 0, receipt: receiptOf(own, 0) }),
    );
  });

  it("bytes that are no record, and a record under another owner's name", async () => {
    await expectRefused(/./, new Uint8Array([1, 2, 3]));
    const other = ownerKeys(9).owner;
    expect(await book.offer(other, [repairOf()], node(8).peer)).toMatchObject({ refused: 1 });
  });
});
