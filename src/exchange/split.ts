/** The k data shards of a sealed segment: its bytes in equal parts, the last one padded with zeros. Copies. */
export function splitShards(sealed: Uint8Array, dataShards: number): Uint8Array[] {
  const shardBytes = Math.ceil(sealed.length / dataShards);
  return Array.from({ length: dataShards }, (_, index) => {
    const shard = new Uint8Array(shardBytes);
    shard.set(sealed.subarray(index * shardBytes, (index + 1) * shardBytes));
    return shard;
  });
}

/** The sealed segment that these data shards are the parts of. */
export function joinShards(dataShards: readonly Uint8Array[], segmentBytes: number): Uint8Array {
  const sealed = new Uint8Array(segmentBytes);
  let at = 0;
  for (const shard of dataShards) {
    sealed.set(shard.subarray(0, Math.max(0, segmentBytes - at)), at);
    at += shard.length;
  }
  return sealed;
}
