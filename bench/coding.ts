/**
 * Throughput of what happens to every byte of a segment, on one core, and the ratio of each to plain SHA-256 in
 * the same run: megabytes a second differ between machines and days, ratios much less.
 *
 *   node bench/coding.ts [rounds, default 8]
 */
import { createHash } from "node:crypto";
import { createWorkerCompute, readReedSolomonWasm } from "../src/adapters/workers/index.ts";
import { must } from "../src/base/assert.ts";
import { MIB } from "../src/base/units.ts";
import { openFrames, prepareChunks, sealAndEncode } from "../src/compute/index.ts";
import { createWasmCodec, LEAF_BYTES, shardBytesOf, shardRoot } from "../src/erasure/index.ts";
import type { PreparedChunk, SealJob } from "../src/ports/compute.ts";
import { readToc, SEGMENT_HEADER_BYTES } from "../src/segments/index.ts";

const SEGMENT_BYTES = 16 * MIB;
const rounds = Number(process.argv[2] ?? 8);
const codec = createWasmCodec(readReedSolomonWasm());

interface Row {
  readonly what: string;
  readonly megabytesPerSecond: number;
}
const rows: Row[] = [];

/** The best round: the others were disturbed by something else on the machine. */
async function measure(what: string, bytes: number, work: () => unknown): Promise<void> {
  await work();
  let bestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    await work();
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  rows.push({ what, megabytesPerSecond: bytes / 1000 / bestMs });
}

function noise(length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(out.subarray(at, at + 65536));
  return out;
}

/** Half of it compresses, as the files of a server do. */
function mixed(length: number): Uint8Array {
  const out = noise(length);
  for (let at = 0; at < length; at += 128) out.fill(32, at, at + 64);
  return out;
}

async function measureCode(dataShards: number, parityShards: number): Promise<void> {
  const profile = `${dataShards}+${parityShards}`;
  const shardBytes = shardBytesOf(SEGMENT_BYTES, dataShards);
  const data = Array.from({ length: dataShards }, () => noise(shardBytes));
  const all = [...data, ...codec.encode(data, parityShards)].map((bytes, index) => ({ index, bytes }));
  const lost = Math.min(2, parityShards);
  const code = { dataShards, parityShards };
  const wantData = all.slice(0, lost).map((shard) => shard.index);
  const wantParity = all.slice(-lost).map((shard) => shard.index);
  const codedBytes = dataShards * shardBytes;
  await measure(`encode ${profile}`, codedBytes, () => codec.encode(data, parityShards));
  await measure(`rebuild ${profile}, ${lost} data shards`, codedBytes, () =>
    codec.rebuild({ ...code, have: all.slice(lost), want: wantData }),
  );
  await measure(`rebuild ${profile}, ${lost} parity shards`, codedBytes, () =>
    codec.rebuild({ ...code, have: all.slice(0, -lost), want: wantParity }),
  );
}

function sealJobOf(chunks: readonly PreparedChunk[], dataShards: number, parityShards: number): SealJob {
  return {
    owner: noise(32),
    incarnation: noise(16),
    segment: 1,
    dataKey: noise(32),
    saltKey: noise(32),
    random: noise(32),
    chunks,
    segmentBytes: SEGMENT_BYTES,
    dataShards,
    parityShards,
    leafBytes: LEAF_BYTES,
  };
}

const segment = noise(SEGMENT_BYTES);
await measure("SHA-256, 16 MiB at once (the measure)", SEGMENT_BYTES, () =>
  createHash("sha256").update(segment).digest(),
);
await measure("Merkle root, 16 KiB leaves", SEGMENT_BYTES, () => shardRoot(segment, 0, LEAF_BYTES));
for (const [k, m] of [
  [3, 3],
  [6, 3],
  [10, 4],
] as const)
  await measureCode(k, m);

const chunkIdKey = noise(32);
const raw = Array.from({ length: 15 }, () => mixed(MIB));
await measure("name and compress chunks of 1 MiB", 15 * MIB, () => prepareChunks(raw, chunkIdKey));
const chunks = prepareChunks(
  Array.from({ length: 15 }, () => noise(MIB)),
  chunkIdKey,
);
const job = sealJobOf(chunks, 6, 3);
await measure("seal, encode 6+3 and root a segment", SEGMENT_BYTES, () => sealAndEncode(job, codec));
const sealed = sealAndEncode(job, codec);
const opening = Buffer.concat(sealed.shards.slice(0, 6)).subarray(0, SEGMENT_BYTES);
const frames = readToc(job, job, opening).map(({ frame, offset, sealedBytes, id, rawBytes, compressed }) => {
  return { frame, id, rawBytes, compressed, sealed: opening.subarray(offset, offset + sealedBytes) };
});
const header = opening.subarray(0, SEGMENT_HEADER_BYTES);
await measure("open all frames of a segment", SEGMENT_BYTES, () =>
  openFrames({ ...job, chunkIdKey, header, frames }),
);
for (const threads of [1, 2]) {
  const compute = createWorkerCompute({ threads });
  await measure(`seal 4 segments in ${threads} worker thread(s)`, 4 * SEGMENT_BYTES, () =>
    Promise.all([job, job, job, job].map((each) => compute.seal(each))),
  );
  await compute.close();
}

const base = must(rows[0], "measure").megabytesPerSecond;
const width = Math.max(...rows.map((row) => row.what.length));
console.log(`${"".padEnd(width)}      MB/s   of SHA-256`);
for (const { what, megabytesPerSecond } of rows) {
  const ratio = (megabytesPerSecond / base).toFixed(2);
  console.log(`${what.padEnd(width)}  ${megabytesPerSecond.toFixed(0).padStart(8)}   ${ratio.padStart(10)}`);
}
