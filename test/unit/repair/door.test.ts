import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { createInlineCompute } from "../../../sim/inline-compute.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { SimShardDisk } from "../../../sim/shard-store.ts";
import { createFileOpener } from "../../../src/adapters/files/index.ts";
import { must } from "../../../src/base/assert.ts";
import { type Incarnation, incarnationOf } from "../../../src/base/ids.ts";
import type { Log } from "../../../src/base/log.ts";
import { DAY_MS, GIB, HOUR_MS, MIB, MINUTE_MS } from "../../../src/base/units.ts";
import { signStatement } from "../../../src/crypto/signed.ts";
import { createReferenceCodec } from "../../../src/erasure/index.ts";
import { Holder, KeptRecords } from "../../../src/exchange/index.ts";
import { classToData, EMPTY_MAP } from "../../../src/placement/index.ts";
import { RepairBook, RepairDoor, RepairJudge } from "../../../src/repair/index.ts";
import { REPAIR_RULES, type Weather } from "../../../src/upkeep/index.ts";
import { type DataAnswer, dataAnswer, type RepairRequest } from "../../../src/wire/data.ts";
import { mapBody } from "../../../src/wire/head.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import {
  AT,
  claimOf,
  descriptorOf,
  KEYS,
  LIFE,
  NOW_MS,
  node,
  type PaperNode,
  PaperSwarm,
  repairOf,
  SHARDS,
  SWARM,
  silenceOf,
} from "../../support/repairs.ts";

// Who gets, or may hand over, shards of an owner that is not its own: node 4 is asked, which holds shard 3.

const SELF = node(4);
let paper: PaperSwarm;
let clock: VirtualClock;
let door: RepairDoor;
let kept: KeptRecords;
let certified: Incarnation | undefined;
let lines: { event: string; fields: Readonly<Record<string, unknown>> }[];

beforeEach(async () => {
  paper = new PaperSwarm();
  paper.states.set(node(1).peer, "absent");
  clock = new VirtualClock(NOW_MS);
  lines = [];
  const note = (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
    void lines.push({ event, fields });
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const disk = new SimDisk({ clock, rng: new SeededRng("door"), totalBytes: GIB });
  const meta = new SimMetaDisk(disk).open();
  certified = undefined;
  kept = new KeptRecords({ store: new SimMetaDisk(disk).open(), clock, log }, { swarm: SWARM });
  const registry = { certifiedIncarnation: () => certified, quotaOf: () => undefined };
  const judge = new RepairJudge({ ...paper, clock }, { rules: REPAIR_RULES });
  const signedMaps = async () => new Map([[LIFE, paper.map]]);
  const book = new RepairBook({ store: meta, signedMaps, judge, log }, { swarm: SWARM });
  const shards = new SimShardDisk(disk, { capacityBytes: MIB }).open();
  const holder = new Holder(
    {
      ...{
        shards,
        records: kept,
        registry,
        clock,
        log,
      },
      disk: { requireServing: () => {}, requirePresent: async () => {} },
      directory: { announce: async () => {} },
      compute: createInlineCompute(createFileOpener(), createReferenceCodec()),
      signer: SELF.key,
    },
    { swarm: SWARM },
  );
  await holder.storeFor(KEYS.owner, 3, descriptorOf(), must(SHARDS[3], "shard"));
  const parts = {
    book,
    judge,
    holder,
    shards,
    kept,
    registry,
    roster: paper.roster,
    clock,
    log,
    self: SELF.peer,
    ownOwner: SELF.owner,
  };
  door = new RepairDoor(parts, { swarm: SWARM });
});

async function ask(
  from: PaperNode,
  request: RepairRequest,
  body: Uint8Array = new Uint8Array(0),
): Promise<{ answer: DataAnswer; body: Uint8Array }> {
  const reply = await door.answer(from.peer, request, body, true);
  return { answer: dataAnswer.decode(reply.head), body: reply.body };
}

const get = (claim: Uint8Array, from = node(2), number = 0, index = 3) =>
  ask(from, { t: "repair-get", v: 1, claim, number, index });
const put = (claim: Uint8Array, index: number, from = node(2)) =>
  ask(from, { t: "repair-put", v: 1, claim, index, descriptor: descriptorOf() }, SHARDS[index]);

/** And the asker is named. */
async function expectRefused(
  why: string | RegExp,
  asked: Promise<{ answer: DataAnswer }>,
  asker = node(2),
): Promise<void> {
  expect((await asked).answer).toMatchObject({ t: "refused", refusal: "not-allowed" });
  expect(lines.at(-1)).toMatchObject({
    event: "repair-claim-refused",
    fields: { asker: asker.peer, why: expect.stringMatching(why) },
  });
}

function mapOf(classId: number, epoch: number): Uint8Array {
  const rows = must(paper.map.classes.get(0), "class");
  const body = mapBody.encode({ v: 1, ...classToData(classId, rows) });
  const statement = { type: "map", swarm: SWARM, incarnation: LIFE, epoch, body } as const;
  return encodeSigned(signStatement(statement, KEYS.signer));
}

const ROW = { owner: KEYS.owner, incarnation: LIFE };

const mendBy = (by: PaperNode) => claimOf({ from: by.peer, slot: 1, cause: { t: "mend" } }, by);

describe("whoever repairs", () => {
  it("gets shards of the row for a slot whose holder is absent here, too, and may hand over that slot's", async () => {
    const { answer, body } = await get(claimOf());
    expect(answer.t).toBe("shard");
    expect(body).toEqual(SHARDS[3]);
    expect((await put(claimOf(), 0)).answer.t).toBe("receipt");
    expect(door.refused).toBe(0);
  });

  it("is refused and named where this node hears the holder that is said to be gone", async () => {
    paper.states.set(node(1).peer, "alive");
    await expectRefused(/hears/, get(claimOf()));
    await expectRefused(/hears/, put(claimOf(), 0));
    expect(door.refused).toBe(2);
  });

  it("is refused and named without a cause that holds", async () => {
    await expectRefused("slot-is-not-empty", get(claimOf({ cause: { t: "empty" } })));
    await expectRefused("holder-is-still-listed", get(claimOf({ cause: { t: "gone-from-roster" } })));
    const witnesses = [silenceOf(node(2), node(1))];
    await expectRefused("witnesses-too-few", get(claimOf({ cause: { t: "absent", witnesses } })));
    await expectRefused(/no conviction/, get(claimOf({ cause: { t: "convicted" } })));
  });

  it("is refused and named when it is no holder of the row, or shows another's claim, or an old one", async () => {
    await expectRefused(/only holders/, get(claimOf({}, node(7)), node(7)), node(7));
    await expectRefused(/somebody else signed/, get(claimOf(), node(3)), node(3));
    await expectRefused(/not of this time/, get(claimOf({ timeMs: NOW_MS - 2 * HOUR_MS })));
  });

  it("is told which shards of the row are here; nobody else is", async () => {
    const list = (claim: Uint8Array, after?: number) =>
      ask(node(2), { t: "repair-list", v: 1, claim, ...(after === undefined ? {} : { after }) });
    expect((await list(claimOf())).answer).toMatchObject({ t: "listed", shards: [[0, 3]], more: false });
    expect((await list(claimOf(), 0)).answer).toMatchObject({ t: "listed", shards: [], more: false });
    await expectRefused("slot-is-not-empty", list(claimOf({ cause: { t: "empty" } })));
  });

  it("gets nothing of another row, and hands over no other slot", async () => {
    await expectRefused(/not of the row/, get(claimOf(), node(2), 17));
    await expectRefused(/not of the slot/, put(claimOf(), 1));
  });

  it("mends its own shard while the owner is away, a few times a day", async () => {
    const claim = mendBy(node(2));
    for (let time = 0; time < 3; time++) expect((await get(claim)).answer.t).toBe("shard");
    await expectRefused(/again and again/, get(claim));
    await clock.advance(DAY_MS + HOUR_MS);
    const later = claimOf({ from: node(2).peer, slot: 1, cause: { t: "mend" }, timeMs: clock.wallMs() });
    expect((await get(later)).answer.t).toBe("shard");
  });

  it("mends nothing while the owner is there, nor what somebody else has", async () => {
    await expectRefused(/nobody mends another/, get(claimOf({ from: node(1).peer, cause: { t: "mend" } })));
    paper.states.set(node(0).peer, "alive");
    await expectRefused(/owner is there/, get(mendBy(node(2))));
  });

  it("is cut off: it is believed by who is cut off as well, misses the same holder, and sees no more than k left", async () => {
    const claim = (minute: number) =>
      claimOf({ cause: { t: "cut-off" }, timeMs: NOW_MS + minute * MINUTE_MS });
    const cutOff: Weather = { kind: "cut-off", seen: 3, of: 9 };
    paper.states.set(node(2).peer, "alive").set(node(3).peer, "absent");
    await expectRefused("this node is not cut off", get(claim(0)));
    paper.weather = cutOff;
    expect((await get(claim(1))).answer.t).toBe("shard");
    expect((await put(claim(1), 0)).answer.t).toBe("receipt");
    expect(door.workedOnBy({ ...ROW, signed: paper.map, now: paper.map }, AT, 0)).toMatchObject({
      ...{ by: node(2).peer, cause: "cut-off" },
    });
    paper.states.set(node(3).peer, "unreachable");
    await expectRefused("more of it may be lost yet", get(claim(2)));
    paper.states.set(node(3).peer, "absent").set(node(1).peer, "alive");
    await expectRefused(/hears the holder/, get(claim(3)));
    paper.states.set(node(1).peer, "absent").set(node(0).peer, "alive");
    await expectRefused("the owner is there", get(claim(4)));
    await expectRefused(/only holders/, get(claimOf({ cause: { t: "cut-off" } }, node(7)), node(7)), node(7));
  });

  it("that knows a row better is believed at once after it has shown it", async () => {
    const map = paper.map;
    paper.map = EMPTY_MAP;
    const claim = claimOf();
    await expectRefused("the row is not known here", get(claim));
    paper.map = map;
    // The same claim: what was made of it for a minute counts no more.
    await ask(node(2), { t: "repaired", v: 1, owner: KEYS.owner, records: [], kept: [mapOf(0, 1)] });
    expect((await get(claim)).answer.t).toBe("shard");
  });

  it("shows maps of a fenced life where none of their class is known, and changes none that is", async () => {
    certified = incarnationOf(new Uint8Array(16).fill(9));
    const showAs = async (
      from: PaperNode,
      ...maps: Uint8Array[]
    ): Promise<[classId: number, epoch: number][]> => {
      await ask(from, { t: "repaired", v: 1, owner: KEYS.owner, records: [], kept: maps });
      const known = await kept.maps(KEYS.owner);
      return known.map(({ body, epoch }) => [mapBody.decode(body).class, epoch]);
    };
    const show = (...maps: Uint8Array[]) => showAs(node(2), ...maps);
    expect(await show(mapOf(0, 1))).toEqual([[0, 1]]);
    expect(await show(mapOf(0, 2), mapOf(1, 2))).toEqual([
      [0, 1],
      [1, 2],
    ]);
    // The node that was put in the place of the owner's former one knows what was the last of that life.
    expect(await showAs(node(0), mapOf(0, 2), mapOf(1, 1))).toEqual([
      [0, 2],
      [1, 2],
    ]);
  });

  it("tells of repairs and is told of them, everything or nothing of what the other has not got", async () => {
    const { owner } = KEYS;
    const told = await ask(node(2), { t: "repaired", v: 1, owner, records: [repairOf()], kept: [] });
    expect(told.answer).toEqual({ t: "taken", v: 1, taken: 1, waiting: 0, refused: 0 });
    const digest = new Uint8Array(32);
    const asked = await ask(node(7), { t: "repairs", v: 1, owner, digest });
    expect(asked.answer).toMatchObject({ t: "repairs", records: [repairOf()], more: false });
  });
});
