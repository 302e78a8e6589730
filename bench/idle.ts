/**
 * What a node takes that does nothing but hold others' shards: processor time and resident memory of one of nine
 * daemons, empty, then with so many gigabytes, then with so many small shards more, each after a restart and with the
 * clocks of the field. The shards are real ones of an owner of the swarm, whole files with signed descriptors; they
 * were put there by hand, without the network, and all have the same bytes.
 *
 *   node bench/idle.ts [GB, default 10] [minutes, default 10] [small shards, default 50000]
 */
import { readFileSync } from "node:fs";
import { openFileShardStore, openLevelMetaStore } from "../src/adapters/store/index.ts";
import { must } from "../src/base/assert.ts";
import { fromHex } from "../src/base/bytes.ts";
import { incarnationOf, ownerIdOf, type ShardId, swarmIdOf } from "../src/base/ids.ts";
import { SILENT_LOG } from "../src/base/log.ts";
import { GIB, KIB, MIB } from "../src/base/units.ts";
import { homePaths, readHome } from "../src/cli/runtime-home.ts";
import { snapshotResult } from "../src/control/results.ts";
import { deriveOwnerKeys } from "../src/crypto/index.ts";
import { signStatement } from "../src/crypto/signed.ts";
import { shardRoot } from "../src/erasure/index.ts";
import { NAMESPACE } from "../src/node/index.ts";
import { prefixed } from "../src/ports/index.ts";
import { shardNote } from "../src/wire/data.ts";
import { descriptorCodec } from "../src/wire/descriptor.ts";
import { encodeSigned } from "../src/wire/signed.ts";
import { DaemonSwarm, type TestNode } from "../test/support/daemons.ts";
import { makeTree } from "../test/support/trees.ts";

const bytesHeld = Number(process.argv[2] ?? 10) * 1e9;
const minutes = Number(process.argv[3] ?? 10);
const smallShards = Number(process.argv[4] ?? 50_000);

/** What /proc counts processor time in. */
const TICKS_PER_SECOND = 100;
const LEAF_BYTES = 16 * KIB;
/** Of no map: nobody is asked about shards that are nowhere else. */
const CLASS_ID = 60_000;
const PUTS_AT_ONCE = 16;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function cpuSeconds({ pid }: TestNode): number {
  const fields = must(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1], "stat").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function residentMiB({ pid }: TestNode): number {
  const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return (kib * KIB) / MIB;
}

/** Processor time over the whole span, resident memory as the mean of its last minute. */
async function idle(what: string, node: TestNode, forMinutes: number): Promise<void> {
  // What a start takes is not idling.
  await pause(90_000);
  const before = cpuSeconds(node);
  const startedMs = performance.now();
  await pause(Math.max(0, forMinutes - 1) * 60_000);
  const samples: number[] = [];
  for (let second = 0; second < 60; second += 5) {
    await pause(5000);
    samples.push(residentMiB(node));
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const share = (cpuSeconds(node) - before) / seconds;
  const { storage } = await node.status();
  console.log(
    JSON.stringify({
      what,
      shards: storage.shards,
      gigabytes: Math.round(storage.usedBytes / 1e7) / 100,
      minutes: Math.round(seconds / 6) / 10,
      cpuPercentOfACore: Math.round(share * 10_000) / 100,
      residentMiB: Math.round(samples.reduce((sum, one) => sum + one, 0) / samples.length),
    }),
  );
}

/** Into a home whose daemon is stopped. */
async function fill(
  node: TestNode,
  owner: TestNode,
  first: number,
  count: number,
  bytes: number,
): Promise<void> {
  const { keys } = readHome(owner.home);
  const { signer } = deriveOwnerKeys(keys.root);
  const status = await owner.status();
  const swarm = swarmIdOf(must(fromHex(status.swarm.swarmId), "swarm id"));
  const incarnation = incarnationOf(must(fromHex(status.repository.incarnation), "incarnation"));
  const meta = await openLevelMetaStore(homePaths(node.home).meta, SILENT_LOG);
  const store = await openFileShardStore({
    ...{ directory: homePaths(node.home).shards, index: prefixed(meta, NAMESPACE.shards) },
    ...{ capacityBytes: 1000 * GIB, log: SILENT_LOG },
  });
  const data = new Uint8Array(bytes).map((_, at) => (at * 2654435761) >>> 24);
  const roots = [0, 1, 2, 3].map((index) => shardRoot(data, index, LEAF_BYTES));
  // Numbers that no snapshot of these minutes comes to.
  const offset = 2 ** 32;
  const layout = {
    k: 2,
    m: 2,
    class: CLASS_ID,
    segmentBytes: 2 * bytes,
    shardBytes: bytes,
    leafBytes: LEAF_BYTES,
  };
  const body = descriptorCodec.encode({ v: 1, codec: 1, ...layout, roots, lockMs: 0, createdMs: 0 });
  let next = offset + first;
  const worker = async (): Promise<void> => {
    while (next < offset + first + count) {
      const number = next++;
      const id: ShardId = { owner: ownerIdOf(signer.publicKey), incarnation, number, index: 0 };
      const said = { type: "descriptor", swarm, incarnation, epoch: number, body } as const;
      const descriptor = encodeSigned(signStatement(said, signer));
      const root = must(roots[0], "root");
      await store.put(id, data, shardNote.encode({ v: 1, root, descriptor, receivedMs: Date.now() }));
    }
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, worker));
  await store.close();
  await meta.close();
}

const swarm = await DaemonSwarm.start({
  sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"],
  capacity: () => "1000GiB",
});
try {
  const [owner, node] = [swarm.node(0), swarm.node(8)];
  const tree = makeTree(swarm.scratch("tree"), { seed: "idle", files: 40, averageBytes: 2_000_000 });
  await owner.ask(snapshotResult, "snapshot", tree);
  const restarted = async (fillIt: () => Promise<void>): Promise<void> => {
    await node.stop();
    await fillIt();
    await node.start();
    await swarm.allAlive();
  };
  await restarted(async () => {});
  await idle("hardly anything held", node, Math.min(3, minutes));
  const count = Math.ceil(bytesHeld / (2 * MIB));
  await restarted(() => fill(node, owner, 0, count, 2 * MIB));
  await idle("gigabytes in shards of 2 MiB", node, minutes);
  await restarted(() => fill(node, owner, count, smallShards, KIB));
  await idle("and so many shards of 1 KiB more", node, Math.min(3, minutes));
} finally {
  await swarm.dispose();
}
