import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { createInlineCompute } from "../../../sim/inline-compute.ts";
import { createFileOpener } from "../../../src/adapters/files/index.ts";
import { must } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import { incarnationOf, type PeerId, type ShardId, swarmIdOf } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { signStatement } from "../../../src/crypto/signed.ts";
import { createReferenceCodec, shardRoot } from "../../../src/erasure/index.ts";
import { type Receipt, SilentPeers } from "../../../src/exchange/index.ts";
import { Rebuilder, type RebuildJob, type Rebuilt } from "../../../src/repair/index.ts";
import { type Descriptor, descriptorCodec, openDescriptor } from "../../../src/wire/descriptor.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import { noise, ownerKeys } from "../../support/segments.ts";
import { peerNamed as peer } from "../placement/nodes.ts";

// Shards made anew from any k others, whatever the holders asked for them do.

const K = 3;
const M = 3;
const N = K + M;
const SHARD_BYTES = 20_000;
const LEAF_BYTES = 1024;
const swarm = swarmIdOf(new Uint8Array(32).fill(7));
const keys = ownerKeys(1);
const codec = createReferenceCodec();
const data = Array.from({ length: K }, (_, seed) => noise(SHARD_BYTES, seed + 1));
const shards = [...data, ...codec.encode(data, M)];
const { descriptor, envelope } = describeSegment(
  shards.map((bytes, index) => shardRoot(bytes, index, LEAF_BYTES)),
);
const self = peer("self");
const holders = Array.from({ length: N }, (_, index) => peer(`holder ${index}`));
const spare = peer("spare");

type Way = "ok" | "corrupt" | "silent" | "missing" | "refuses";

let clock: VirtualClock;
let ways: Map<PeerId, Way>;
let asked: string[];
let stored: Map<string, Uint8Array>;
let own: Map<number, Uint8Array>;
let rebuilder: Rebuilder;

beforeEach(() => {
  clock = new VirtualClock();
  ways = new Map();
  asked = [];
  stored = new Map();
  own = new Map();
  rebuilder = new Rebuilder({
    self,
    readOwn: async ({ index }) => own.get(index)?.slice(),
    client: { getShard, put, silent: new SilentPeers({ clock }) },
    compute: createInlineCompute(createFileOpener(), codec),
    clock,
    log: SILENT_LOG,
  });
});

function describeSegment(roots: Uint8Array[]): { descriptor: Descriptor; envelope: Uint8Array } {
  const body = descriptorCodec.encode({
    ...{ v: 1, codec: 1, k: K, m: M, class: 0, segmentBytes: K * SHARD_BYTES, shardBytes: SHARD_BYTES },
    ...{ leafBytes: LEAF_BYTES, roots, lockMs: 0, createdMs: 5 },
  });
  const incarnation = incarnationOf(new Uint8Array(16).fill(1));
  const signed = signStatement({ type: "descriptor", swarm, incarnation, epoch: 4, body }, keys.signer);
  return { descriptor: openDescriptor(signed, swarm), envelope: encodeSigned(signed) };
}

async function getShard(from: PeerId, shard: ShardId) {
  asked.push(from);
  const bytes = must(shards[shard.index], "shard");
  switch (ways.get(from) ?? "ok") {
    case "corrupt":
      throw new Fault({ code: "SHARD_CORRUPT", shard, peer: from, reason: "a bit" });
    case "missing":
      throw new Fault({ code: "SHARD_MISSING", shard, peer: from });
    case "silent":
      await clock.sleep(20_000);
      throw new Fault({ code: "PEER_TIMEOUT", peer: from, afterMs: 20_000 });
    default:
      await clock.sleep(50);
      return { bytes: bytes.slice(), descriptor, envelope };
  }
}

async function put(to: PeerId, shard: ShardId, _: Uint8Array, bytes: Uint8Array): Promise<Receipt> {
  if (ways.get(to) === "refuses")
    throw new Fault({ code: "PEER_REFUSED", peer: to, refusal: "quota", reason: "full" });
  stored.set(`${to}/${shard.index}`, bytes.slice());
  return { peer: to, timeMs: clock.wallMs(), signature: new Uint8Array(64) };
}

function run(changes: Partial<RebuildJob>): Promise<Rebuilt> {
  const sources = holders.map((one, index) => ({ index, peer: one }));
  const job: RebuildJob = { descriptor, envelope, sources, targets: [], ...changes };
  return clock.until(rebuilder.rebuild(job), 600_000);
}

describe("shards made anew", () => {
  it("are the same bytes from any k of the others", async () => {
    for (const sources of subsets(N, K)) {
      const missing = holders.map((_, index) => index).filter((index) => !sources.includes(index));
      const { placed, bytesIn, bytesOut } = await run({
        sources: sources.map((index) => ({ index, peer: must(holders[index], "holder") })),
        targets: missing.map((index) => ({ index, peer: must(holders[index], "holder") })),
      });
      expect(placed.map(({ index }) => index).sort()).toEqual(missing);
      for (const index of missing) expect(stored.get(`${holders[index]}/${index}`)).toEqual(shards[index]);
      expect({ bytesIn, bytesOut }).toEqual({ bytesIn: K * SHARD_BYTES, bytesOut: M * SHARD_BYTES });
    }
  });

  it("cost nothing for what lies on the own disk, unless it is wrong there", async () => {
    own.set(5, must(shards[5], "shard")).set(4, new Uint8Array(SHARD_BYTES));
    const sources = [
      ...[1, 2, 3].map((index) => ({ index, peer: must(holders[index], "holder") })),
      ...[5, 4].map((index) => ({ index, peer: self })),
    ];
    const { placed, bytesIn, wrong } = await run({ sources, targets: [{ index: 0, peer: spare }] });
    expect(placed).toMatchObject([{ index: 0, peer: spare }]);
    expect(bytesIn).toBe(2 * SHARD_BYTES);
    expect(wrong).toEqual([{ index: 4, peer: self }]);
  });

  it("are copied, one byte for each, where somebody has exactly these", async () => {
    const { placed, bytesIn } = await run({ targets: [{ index: 2, peer: spare }] });
    expect(placed).toHaveLength(1);
    expect(asked).toEqual([holders[2]]);
    expect(bytesIn).toBe(SHARD_BYTES);
    expect(stored.get(`${spare}/2`)).toEqual(shards[2]);
  });

  it("come from others where holders send wrong bytes, have lost theirs, or are silent", async () => {
    ways.set(must(holders[1], "holder"), "corrupt");
    ways.set(must(holders[2], "holder"), "missing");
    ways.set(must(holders[3], "holder"), "silent");
    const sources = [0, 1, 2, 3, 4, 5].map((index) => ({ index, peer: must(holders[index], "holder") }));
    const { placed, wrong, missing } = await run({
      sources: sources
        .filter(({ index }) => index !== 0 && index !== 5)
        .concat([
          { index: 5, peer: must(holders[5], "holder") },
          { index: 1, peer: spare },
        ]),
      targets: [{ index: 0, peer: spare }],
    });
    expect(placed).toMatchObject([{ index: 0, peer: spare }]);
    expect(stored.get(`${spare}/0`)).toEqual(shards[0]);
    expect(wrong).toEqual([{ index: 1, peer: holders[1] }]);
    expect(missing).toEqual([{ index: 2, peer: holders[2] }]);
    // The silent one was not waited for until its request timed out.
    expect(clock.monotonicMs()).toBeLessThan(20_000);
  });

  it("are not made of fewer than k: whoever is short says of whom", async () => {
    ways.set(must(holders[1], "holder"), "missing");
    const sources = [1, 2, 3].map((index) => ({ index, peer: must(holders[index], "holder") }));
    await expect(run({ sources, targets: [{ index: 0, peer: spare }] })).rejects.toMatchObject({
      detail: { code: "TOO_FEW_SHARDS", shortages: [{ have: 2, need: K, holders: [holders[1]] }] },
    });
    expect(stored.size).toBe(0);
  });

  it("go to the next candidate when one refuses, and are named when nobody takes them", async () => {
    const refuser = must(holders[0], "holder");
    ways.set(refuser, "refuses");
    const targets = [{ index: 0, peer: refuser }];
    const taken = await run({ targets, instead: (_, refused) => (refused.has(spare) ? undefined : spare) });
    expect(taken).toMatchObject({ placed: [{ index: 0, peer: spare }], failed: [] });
    const nobody = await run({ targets });
    expect(nobody).toMatchObject({ placed: [], failed: [{ index: 0, peer: refuser }], bytesOut: 0 });
  });

  it("are put nowhere when the owner signed roots that do not belong together", async () => {
    const roots = shards.map((bytes, index) => shardRoot(bytes, index, LEAF_BYTES));
    const lie = describeSegment(roots.with(0, new Uint8Array(32)));
    const sources = [1, 2, 3].map((index) => ({ index, peer: must(holders[index], "holder") }));
    await expect(run({ ...lie, sources, targets: [{ index: 0, peer: spare }] })).rejects.toMatchObject({
      detail: { code: "SEGMENT_UNREADABLE" },
    });
    expect(stored.size).toBe(0);
  });

  it("are made for one segment at a time", async () => {
    const jobs = [0, 1].map((index) =>
      rebuilder.rebuild({
        ...{ descriptor, envelope, targets: [{ index, peer: spare }] },
        sources: [2, 3, 4].map((source) => ({ index: source, peer: must(holders[source], "holder") })),
      }),
    );
    await clock.advance(10);
    expect(asked).toHaveLength(K);
    await clock.until(Promise.all(jobs), 600_000);
    expect(asked).toHaveLength(2 * K);
  });
});

function subsets(n: number, size: number): number[][] {
  if (size === 0) return [[]];
  if (n < size) return [];
  return [...subsets(n - 1, size), ...subsets(n - 1, size - 1).map((one) => [...one, n - 1])];
}
