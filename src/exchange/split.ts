/** The k data shards of a sealed segment: its bytes in equal parts, the last one padded with zeros. Copies. */
export function splitShards(sealed: Uint8Array, dataShards: number): Uint8Array[] {
  const shardBytes = Math.ceil(sealed.length / dataShards);
  return Array.from({ length: dataShards }, (_, index) => {
    const shard = new Uint8Array(shardBytes);
    shard.set(sealed.subarray(index * shardBytes, (index + 1) * shardBytes));
    return shard;
  });
}

/** The first `bytes` of the sealed segment that these data shards are the parts of: all of it, or its header. */
export function joinShards(dataShards: readonly Uint8Array[], bytes: number): Uint8Array {
  const sealed = new Uint8Array(bytes);
  let at = 0;
  for (const shard of dataShards) {
    // In tiny segments whole shards are padding.
    if (at >= bytes) break;
    sealed.set(shard.subarray(0, bytes - at), at);
    at += shard.length;
  }
  return sealed;
}
