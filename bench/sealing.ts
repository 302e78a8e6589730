/** Throughput of compressing, sealing and opening on one core, one full segment at a time. `node bench/sealing.ts` */
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { KIB, MIB } from "../src/base/units.ts";
import { deriveOwnerKeys, hmacSha256 } from "../src/crypto/index.ts";
import type { PreparedChunk } from "../src/ports/compute.ts";
import {
  compressChunk,
  openFrames,
  openWholeSegment,
  SEGMENT_HEADER_BYTES,
  sealSegment,
} from "../src/segments/index.ts";

const ROUNDS = 7;
const keys = deriveOwnerKeys(randomBytes(32));
const identity = { owner: keys.signer.publicKey, incarnation: randomBytes(16), segment: 1 };
const noise = createCipheriv("aes-256-ctr", randomBytes(32), randomBytes(16)).update(Buffer.alloc(15 * MIB));
// Something that compresses as programs do: the one that runs this.
const program = readFileSync(process.execPath).subarray(0, 32 * MIB);

function chunksOf(bytes: Uint8Array, chunkBytes: number): Uint8Array[] {
  const count = Math.floor(bytes.length / chunkBytes);
  return Array.from({ length: count }, (_, at) => bytes.subarray(at * chunkBytes, (at + 1) * chunkBytes));
}

function prepared(raw: Uint8Array): PreparedChunk {
  return { id: hmacSha256(keys.chunkIdKey, raw), rawBytes: raw.length, stored: raw, compressed: false };
}

function mibPerSecond(bytes: number, task: () => void): number {
  const rates = Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    task();
    return ((bytes / MIB) * 1000) / (performance.now() - start);
  });
  return Math.round(rates.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0);
}

const result: Record<string, number> = {};
result["compress, program in 1 MiB chunks"] = mibPerSecond(program.length, () => {
  for (const raw of chunksOf(program, MIB)) compressChunk(raw);
});
result["compress, noise in 1 MiB chunks"] = mibPerSecond(noise.length, () => {
  for (const raw of chunksOf(noise, MIB)) compressChunk(raw);
});
for (const chunkBytes of [MIB, 64 * KIB, 4 * KIB]) {
  const chunks = chunksOf(noise, chunkBytes).map(prepared);
  const { dataKey, saltKey, chunkIdKey } = keys;
  const job = { ...identity, dataKey, saltKey, random: randomBytes(32), chunks, segmentBytes: 16 * MIB };
  const sealed = sealSegment(job);
  const frames = openWholeSegment(keys, identity, sealed).toc.map((entry) => ({
    ...entry,
    sealed: sealed.subarray(entry.offset, entry.offset + entry.sealedBytes),
  }));
  const header = sealed.subarray(0, SEGMENT_HEADER_BYTES);
  const kib = `${chunkBytes / KIB} KiB chunks`;
  result[`seal, ${kib}`] = mibPerSecond(noise.length, () => void sealSegment(job));
  result[`open, ${kib}`] = mibPerSecond(noise.length, () => {
    openFrames({ ...identity, dataKey, chunkIdKey, header, frames });
  });
}
console.log(JSON.stringify({ mibPerSecond: result }));
