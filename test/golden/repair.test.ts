import { expect, it } from "vitest";
import { openClaim, openRepair, recordCause } from "../../src/repair/index.ts";
import { RowProgress } from "../../src/repair/row-progress.ts";
import { dataAnswer, dataRequest, isRepairRequest } from "../../src/wire/data.ts";
import { MemoryStore } from "../unit/membership/world.ts";
import {
  AT,
  claimOf,
  descriptorOf,
  KEYS,
  LIFE,
  mapWith,
  node,
  repairOf,
  receiptOf,
  SLOTS,
  statusOf,
  SWARM,
} from "../support/repairs.ts";
import { goldenJson } from "./golden-file.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("repair records, claims and what is asked with them are as they were, and are read as they were meant", async () => {
  const { peer: from } = node(1);
  const draining = { t: "draining" as const, statement: statusOf(node(1), true) };
  const records = {
    absent: repairOf(),
    draining: repairOf({ cause: draining }),
    convicted: repairOf({ cause: { t: "convicted" } }),
    gone: repairOf({ cause: { t: "gone-from-roster" } }),
  };
  const claims = { absent: claimOf(), mend: claimOf({ from, cause: { t: "mend" } }, node(1)) };
  const digest = new Uint8Array(32).fill(9);
  const requests = [
    { t: "repair-get" as const, v: 1 as const, claim: claims.mend, number: 0, index: 2 },
    { t: "repair-put" as const, v: 1 as const, claim: claims.mend, index: 0, descriptor: descriptorOf() },
    { t: "repaired" as const, v: 1 as const, owner: KEYS.owner, records: [records.gone], kept: [] },
    { t: "repairs" as const, v: 1 as const, owner: KEYS.owner, digest, after: digest },
  ].map((request) => dataRequest.encode(request));
  const answers = [
    dataAnswer.encode({ t: "taken", v: 1, taken: 1, waiting: 2, refused: 3 }),
    dataAnswer.encode({ t: "repairs", v: 1, records: [records.gone], more: true, last: digest }),
  ];
  const store = new MemoryStore();
  const map = { owner: KEYS.owner, incarnation: LIFE, signed: mapWith(SLOTS), now: mapWith(SLOTS) };
  const held = { segment: { owner: KEYS.owner, incarnation: LIFE, number: 16 }, envelope: descriptorOf() };
  const receipts = new Map([[0, receiptOf(node(6), 0)]]);
  await new RowProgress(store).save(map, AT, [{ slot: 0, to: node(6).peer }], held, receipts);
  const rows: [string, string][] = [];
  for await (const [key, value] of store.scan({})) rows.push([hex(key), hex(value)]);
  const written = {
    records: Object.fromEntries(Object.entries(records).map(([name, bytes]) => [name, hex(bytes)])),
    claims: Object.fromEntries(Object.entries(claims).map(([name, bytes]) => [name, hex(bytes)])),
    requests: requests.map(hex),
    answers: answers.map(hex),
    rows,
  };
  expect(goldenJson("v1/wire/repair.json", written)).toEqual(written);
  expect(openRepair(records.draining, SWARM).record).toMatchObject({
    ...{ owner: KEYS.owner, incarnation: LIFE, at: AT, slot: 0, ownerVersion: 1, repairs: 1, from },
    cause: { kind: "draining", holder: from },
  });
  expect(openClaim(claims.mend, SWARM)).toMatchObject({ by: from, from, cause: { kind: "mend" } });
  for (const request of requests) expect(isRepairRequest(dataRequest.decode(request))).toBe(true);
});

it("the claim of who is cut off is as it was, and goes into no record", () => {
  const claim = claimOf({ cause: { t: "cut-off" } });
  expect(goldenJson("v1/wire/repair-cut-off.json", { claim: hex(claim) })).toEqual({ claim: hex(claim) });
  expect(openClaim(claim, SWARM)).toMatchObject({ by: node(2).peer, cause: { kind: "cut-off" } });
  expect(() => recordCause({ t: "cut-off" })).toThrow();
});

it("what holders of a row name to each other is as it was", () => {
  const claim = claimOf();
  const written = {
    request: hex(dataRequest.encode({ t: "repair-list", v: 1, claim, after: 16 })),
    answer: hex(dataAnswer.encode({ t: "listed", v: 1, shards: [[32, 0], [32, 3], [48, 3]], more: true })),
  };
  expect(goldenJson("v1/wire/repair-list.json", written)).toEqual(written);
});
