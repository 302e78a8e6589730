/** Throughput of cutting on one core, and the chunk sizes that come out. `node bench/chunking.ts [MiB]` */
import { createCipheriv } from "node:crypto";
import { MIB } from "../src/base/units.ts";
import { chunkEnds, createChunker, DEFAULT_CHUNK_SIZES } from "../src/chunking/index.ts";

const ROUNDS = 7;
const sizeMib = Number(process.argv[2] ?? 256);
const keystream = createCipheriv("aes-256-ctr", Buffer.alloc(32, 1), Buffer.alloc(16));
const bytes = new Uint8Array(keystream.update(Buffer.alloc(sizeMib * MIB)));
const chunker = createChunker(new Uint8Array(32).fill(7), DEFAULT_CHUNK_SIZES);

const rates: number[] = [];
let ends: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const start = performance.now();
  ends = chunkEnds(chunker, bytes);
  rates.push((sizeMib * 1000) / (performance.now() - start));
}
rates.sort((a, b) => a - b);
const lengths = ends.map((end, index) => end - (ends[index - 1] ?? 0)).sort((a, b) => a - b);
const kib = (share: number): number =>
  Math.round((lengths[Math.floor(share * (lengths.length - 1))] ?? 0) / 1024);
console.log(
  JSON.stringify({
    mib: sizeMib,
    mibPerSecond: { median: Math.round(rates[ROUNDS >> 1] ?? 0), best: Math.round(rates.at(-1) ?? 0) },
    chunks: ends.length,
    meanKib: Math.round(bytes.length / ends.length / 1024),
    kibAt: { p5: kib(0.05), p50: kib(0.5), p95: kib(0.95), max: kib(1) },
  }),
);
