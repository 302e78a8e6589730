/**
 * What so many shards add to a daemon's resident memory and to its disk, beside their own bytes: the index, filled with entries
 * as a 6+3 segment's shards have them, then opened by a new process that does what a daemon does with it: counts it at the start,
 * looks up shards at random, and goes through all of it as a scrub does.
 *
 * Each count in a process of its own; the last line is what a shard adds between the first and the last, since a process that has
 * gone through any index at all keeps some memory. 1,000,000 take about 1.3 GB of disk for a while.
 *
 *   node bench/shard-index.ts [shards, default 10000, 100000 and 1000000] ...
 */
import { execFileSync, type StdioOptions } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { returnFreedMemory } from "../src/adapters/freed-memory.ts";
import { openLevelMetaStore } from "../src/adapters/store/index.ts";
import { ENTRY_RANGE, encodeEntry, entryKey, entryOf } from "../src/adapters/store/shard-codec.ts";
import { indexedCost } from "../src/adapters/store/shard-recovery.ts";
import { must } from "../src/base/assert.ts";
import { u32be } from "../src/base/bytes.ts";
import { incarnationOf, ownerIdOf, type ShardId, swarmIdOf } from "../src/base/ids.ts";
import { SILENT_LOG } from "../src/base/log.ts";
import { KIB, MIB } from "../src/base/units.ts";
import { sha256 } from "../src/crypto/hash.ts";
import { signerFromSeed } from "../src/crypto/sign.ts";
import { NAMESPACE } from "../src/node/index.ts";
import { prefixed } from "../src/ports/index.ts";
import { shardNote } from "../src/wire/data.ts";
import { descriptorCodec } from "../src/wire/descriptor.ts";
import { encodeSigned } from "../src/wire/signed.ts";

/** As `bin/cairn` starts a daemon. */
const FLAGS = ["--max-semi-space-size=2", "--heap-growing-percent=100"];
const ENVIRONMENT = {
  ...process.env,
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "16384",
  MALLOC_TRIM_THRESHOLD_: "131072",
};
const [K, M] = [6, 3];
const SHARD_BYTES = Math.ceil((16 * MIB) / K);
const BATCH = 1000;
const LOOKUPS = 100_000;

const signer = signerFromSeed(new Uint8Array(32).fill(1));
const owner = ownerIdOf(signer.publicKey);
const incarnation = incarnationOf(new Uint8Array(16).fill(2));
const swarm = swarmIdOf(new Uint8Array(32).fill(3));

const idOf = (number: number): ShardId => ({ owner, incarnation, number, index: number % (K + M) });

/** Of one segment, with bytes that do not compress: roots and signatures of all others would be as long. */
function noteOf(number: number): Uint8Array {
  const root = (index: number): Uint8Array => sha256(u32be(number), u32be(index));
  const roots = Array.from({ length: K + M }, (_, index) => root(index));
  const sizes = { segmentBytes: 16 * MIB, shardBytes: SHARD_BYTES, leafBytes: 16 * KIB };
  const body = descriptorCodec.encode({
    ...{ v: 1, codec: 1, k: K, m: M, class: 0, ...sizes, roots, lockMs: 0, createdMs: number },
  });
  const statement = { type: "descriptor", swarm, incarnation, epoch: number, body } as const;
  // A signature takes longer than all the rest, and is 64 bytes whatever it says.
  const signature = new Uint8Array([...root(100), ...root(101)]);
  const descriptor = encodeSigned({ ...statement, signer: signer.publicKey, signature });
  return shardNote.encode({ v: 1, root: must(roots[0], "root"), descriptor, receivedMs: number });
}

async function fill(directory: string, count: number): Promise<void> {
  const meta = await openLevelMetaStore(directory, SILENT_LOG);
  const index = prefixed(meta, NAMESPACE.shards);
  for (let first = 0; first < count; first += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, count - first) }, (_, at) => first + at);
    const ops = numbers.map((number) => {
      const entry = { version: { generation: 1, nonce: number }, bytes: SHARD_BYTES, note: noteOf(number) };
      return { type: "put" as const, key: entryKey(idOf(number)), value: encodeEntry(entry) };
    });
    await index.write(ops, { sync: false });
  }
  await meta.close();
}

interface Resident {
  /** Of the process itself. */
  readonly ownMiB: number;
  /** Of files that it has mapped: the kernel takes these pages back when it needs them, as it does with its cache. */
  readonly mappedMiB: number;
  /** The most that both together ever were. */
  readonly peakMiB: number;
}

/** When it has been idle for so long, a daemon has collected its garbage and given back what it freed. */
const IDLE_MS = 8000;

async function resident(): Promise<Resident> {
  await setTimeout(IDLE_MS);
  const status = readFileSync("/proc/self/status", "utf8");
  const miB = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]) * KIB) / MIB;
  return { ownMiB: miB("RssAnon"), mappedMiB: miB("RssFile"), peakMiB: miB("VmHWM") };
}

async function measure(directory: string, count: number): Promise<void> {
  const stop = returnFreedMemory(SILENT_LOG);
  const before = await resident();
  const meta = await openLevelMetaStore(directory, SILENT_LOG);
  const index = prefixed(meta, NAMESPACE.shards);
  const opened = await resident();
  const { shards } = await indexedCost(index);
  const counted = await resident();
  const begin = performance.now();
  let found = 0;
  for (let n = 0; n < LOOKUPS; n++) if (entryOf(index, idOf((n * 40_503) % count)) !== undefined) found++;
  const lookupMicroseconds = ((performance.now() - begin) * 1000) / LOOKUPS;
  const lookedUp = await resident();
  let walked = 0;
  for await (const _ of index.scan(ENTRY_RANGE)) walked++;
  const after = await resident();
  stop();
  await meta.close();
  const row: Row = {
    ...{ shards, found, walked },
    terabytesOfShards: Math.round((count * SHARD_BYTES) / 1e10) / 100,
    ownMiB: Math.round(after.ownMiB - before.ownMiB),
    ofThatByStep: [opened, counted, lookedUp, after].map(({ ownMiB }, at) =>
      Math.round(ownMiB - ([before, opened, counted][at] ?? lookedUp).ownMiB),
    ),
    mappedMiB: Math.round(after.mappedMiB - before.mappedMiB),
    peakMiB: Math.round(after.peakMiB - before.peakMiB),
    indexMB: Math.round(bytesBelow(directory) / 1e6),
    lookupMicroseconds: Math.round(lookupMicroseconds * 10) / 10,
  };
  console.log(JSON.stringify(row));
}

interface Row {
  readonly shards: number;
  readonly found: number;
  readonly walked: number;
  readonly terabytesOfShards: number;
  readonly ownMiB: number;
  readonly mappedMiB: number;
  readonly peakMiB: number;
  /** Opening, counting all, looking up at random, going through all. */
  readonly ofThatByStep: readonly number[];
  readonly indexMB: number;
  readonly lookupMicroseconds: number;
}

function bytesBelow(directory: string): number {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.reduce(
    (sum, one) => sum + (one.isFile() ? statSync(join(one.parentPath, one.name)).size : 0),
    0,
  );
}

const [task, ...rest] = process.argv.slice(2);
if (task === "measure" || task === "fill") {
  const [directory = "", count = ""] = rest;
  await (task === "fill" ? fill : measure)(directory, Number(count));
} else {
  const rows: Row[] = [];
  for (const count of task === undefined ? ["10000", "100000", "1000000"] : [task, ...rest]) {
    const directory = mkdtempSync(join(process.env["BENCH_DIRECTORY"] ?? tmpdir(), "bench-index-"));
    const run = (what: string): string => {
      const given = [...FLAGS, import.meta.filename, what, directory, count];
      const stdio: StdioOptions = ["ignore", "pipe", "inherit"];
      return execFileSync(process.execPath, given, { encoding: "utf8", stdio, env: ENVIRONMENT });
    };
    try {
      run("fill");
      const line = run("measure").trim();
      console.log(line);
      rows.push(JSON.parse(line));
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
  const [first, last] = [must(rows[0], "row"), must(rows.at(-1), "row")];
  const more = last.shards - first.shards;
  if (more > 0)
    console.log(
      JSON.stringify({
        ownBytesAShard: Math.round(((last.ownMiB - first.ownMiB) * MIB) / more),
        mappedBytesAShard: Math.round(((last.mappedMiB - first.mappedMiB) * MIB) / more),
        indexBytesAShard: Math.round(((last.indexMB - first.indexMB) * 1e6) / more),
      }),
    );
}
