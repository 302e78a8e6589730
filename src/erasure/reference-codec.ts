import { must } from "../base/assert.ts";
import { checkEncode, type ErasureCodec, planRebuild, type RebuildRequest } from "./codec.ts";
import { multiply } from "./galois.ts";
import { generatorMatrix, invert, type Matrix, product } from "./matrix.ts";

/**
 * The code as the format describes it, slow and obvious: what the fast codec is compared with, and what a
 * reader should read first.
 */
export function createReferenceCodec(): ErasureCodec {
  return { encode, rebuild };
}

function encode(dataShards: readonly Uint8Array[], parityShards: number): Uint8Array[] {
  checkEncode(dataShards, parityShards);
  const parityRows = generatorMatrix(dataShards.length, parityShards).slice(dataShards.length);
  return combine(parityRows, dataShards);
}

function rebuild(job: RebuildRequest): Uint8Array[] {
  const { used } = planRebuild(job);
  const generator = generatorMatrix(job.dataShards, job.parityShards);
  const rowsOf = (indices: readonly number[]): Matrix =>
    indices.map((index) => must(generator[index], "generator row"));
  // The rows of the shards at hand map the data to them; the inverse maps them back to the data, and the rows
  // of the wanted shards go on from there.
  const toData = invert(rowsOf(used.map((shard) => shard.index)));
  return combine(
    product(rowsOf(job.want), toData),
    used.map((shard) => shard.bytes),
  );
}

/** Each row times the column of shards. */
function combine(rows: Matrix, shards: readonly Uint8Array[]): Uint8Array[] {
  return rows.map((row) => {
    const out = new Uint8Array(must(shards[0], "first shard").length);
    shards.forEach((shard, i) => {
      const factor = must(row[i], "coefficient");
      shard.forEach((byte, x) => {
        out[x] = must(out[x], "byte") ^ multiply(factor, byte);
      });
    });
    return out;
  });
}
