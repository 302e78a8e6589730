import { assert } from "../base/assert.ts";
import { AEAD_TAG_BYTES, encryptInto } from "../crypto/aead.ts";
import { hmacSha256, sha256 } from "../crypto/hash.ts";
import type { PreparedChunk, SealJob } from "../ports/compute.ts";
import { contentBytesOf, SegmentBuilder } from "./builder.ts";
import {
  encodeHeader,
  encodeLocator,
  encodeToc,
  FIRST_CHUNK_OFFSET,
  frameAadOf,
  LOCATOR_FRAME,
  SEGMENT_BYTES_MAX,
  SEGMENT_HEADER_BYTES,
  segmentKeyOf,
  type TocEntry,
} from "./layout.ts";

export type SegmentSealJob = Pick<
  SealJob,
  "owner" | "incarnation" | "segment" | "dataKey" | "saltKey" | "random" | "chunks" | "segmentBytes"
>;

/** The sealed segment, exactly `segmentBytes` long; chunks lie where a `SegmentBuilder` said they would. */
export function sealSegment(job: SegmentSealJob): Uint8Array {
  assert(job.random.length === 32, "a segment is sealed with 32 random bytes");
  assert(job.saltKey.length === 32, "a salt key has 32 bytes");
  assert(job.segmentBytes <= SEGMENT_BYTES_MAX, "a segment is within 32-bit offsets");
  assert(contentBytesOf(job.chunks) <= job.segmentBytes, "the chunks fit into the segment");
  const entries = tocEntries(job.chunks, job.segmentBytes);
  const last = entries.at(-1);
  const tocOffset = last === undefined ? FIRST_CHUNK_OFFSET : last.offset + last.sealedBytes;
  const tocSealedBytes = job.segmentBytes - tocOffset;
  const locator = encodeLocator({ chunkCount: entries.length, tocOffset, tocSealedBytes });
  const toc = encodeToc(entries, tocSealedBytes - AEAD_TAG_BYTES);

  // Hedged: should `random` ever repeat (a cloned virtual machine), other content still gets another key.
  const digest = sha256(locator, ...job.chunks.map((chunk) => chunk.stored), toc);
  const salt = hmacSha256(job.saltKey, job.random, digest);
  const { key, commitment } = segmentKeyOf(job.dataKey, salt, job);

  const out = new Uint8Array(job.segmentBytes);
  out.set(encodeHeader(salt, commitment));
  let at = SEGMENT_HEADER_BYTES;
  const aad = frameAadOf(job);
  let frame = LOCATOR_FRAME;
  for (const plaintext of [locator, ...job.chunks.map((chunk) => chunk.stored), toc]) {
    const isLast = frame === entries.length + 1;
    at = encryptInto(out, at, key, frame, aad(frame, isLast), plaintext);
    frame++;
  }
  assert(at === job.segmentBytes, "the last frame ends with the segment");
  return out;
}

function tocEntries(chunks: readonly PreparedChunk[], segmentBytes: number): TocEntry[] {
  const builder = new SegmentBuilder({ capacityBytes: segmentBytes });
  return chunks.map((chunk) => {
    const place = builder.tryAdd(chunk);
    assert(place !== undefined, "every chunk fits into the segment");
    return { ...place, id: chunk.id, rawBytes: chunk.rawBytes, compressed: chunk.compressed };
  });
}
