import { hmacSha256 } from "../crypto/hash.ts";
import type { PreparedChunk } from "../ports/compute.ts";
import { compressChunk } from "../segments/index.ts";
import { owned, ownedUnless } from "./owned.ts";

/** Names and compresses chunks; `chunkIdKey`: 32 bytes. */
export function prepareChunks(chunks: readonly Uint8Array[], chunkIdKey: Uint8Array): PreparedChunk[] {
  return chunks.map((raw) => prepareChunk(raw, chunkIdKey));
}

export function prepareChunk(raw: Uint8Array, chunkIdKey: Uint8Array): PreparedChunk {
  const { stored, compressed } = compressChunk(raw);
  return {
    id: owned(hmacSha256(chunkIdKey, raw)),
    rawBytes: raw.length,
    stored: ownedUnless(raw, stored),
    compressed,
  };
}
