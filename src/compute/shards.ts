import { must } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { type ErasureCodec, shardBytesOf, shardRoot } from "../erasure/index.ts";
import type { RebuildJob, RootJob, SealedSegment, SealJob } from "../ports/compute.ts";
import { sealSegment } from "../segments/index.ts";

export { openFrames } from "../segments/index.ts";

/** Chunks into a sealed segment, the segment into n shards with their roots. `onSealed`: the chunks are needed no more. */
export function sealAndEncode(job: SealJob, codec: ErasureCodec, onSealed?: () => void): SealedSegment {
  const segment = sealSegment(job);
  onSealed?.();
  const segmentBytes = segment.length;
  const data = dataShardsOf(segment, job.dataShards);
  letGo(segment);
  const shards = [...data, ...codec.encode(data, job.parityShards)];
  return {
    shards,
    roots: shards.map((bytes, index) => shardRoot(bytes, index, job.leafBytes)),
    shardBytes: must(data[0], "first shard").length,
    segmentBytes,
  };
}

/** The segment cut into k equal parts; zeros fill up the last, and whole shards after it in tiny segments. */
function dataShardsOf(segment: Uint8Array, dataShards: number): Uint8Array[] {
  const shardBytes = shardBytesOf(segment.length, dataShards);
  return Array.from({ length: dataShards }, (_, index) => {
    const shard = new Uint8Array(shardBytes);
    shard.set(segment.subarray(index * shardBytes, (index + 1) * shardBytes));
    return shard;
  });
}

export function rebuildShards(job: RebuildJob, codec: ErasureCodec): Uint8Array[] {
  return codec.rebuild(job);
}

export function shardRoots(jobs: readonly RootJob[]): Uint8Array[] {
  return jobs.map((job) => shardRoot(job.bytes, job.index, job.leafBytes));
}
