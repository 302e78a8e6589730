import type { KeyObject } from "node:crypto";
import { equalBytes, letGo } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { incarnationOf, ownerIdOf } from "../base/ids.ts";
import { decrypt, sameSecret } from "../crypto/aead.ts";
import { hmacSha256 } from "../crypto/hash.ts";
import type { FrameJob, OpenJob } from "../ports/compute.ts";
import { decompressChunk } from "./compress.ts";
import {
  decodeHeader,
  FRAME_MAX,
  type FrameAad,
  frameAadOf,
  type SegmentIdentity,
  segmentKeyOf,
} from "./layout.ts";

export function unreadable(identity: SegmentIdentity, reason: string): Fault {
  const segment = {
    owner: ownerIdOf(identity.owner),
    incarnation: incarnationOf(identity.incarnation),
    number: identity.segment,
  };
  return new Fault({ code: "SEGMENT_UNREADABLE", segment, reason });
}

/** What reading frames of one segment takes. */
export interface SegmentAccess {
  readonly identity: SegmentIdentity;
  readonly key: KeyObject;
  readonly aad: FrameAad;
}

/** Access to a segment, once its header has proven to belong to it. Throws `SEGMENT_UNREADABLE`. */
export function openHeader(
  dataKey: Uint8Array,
  identity: SegmentIdentity,
  header: Uint8Array,
): SegmentAccess {
  const parts = decodeHeader(header);
  if (typeof parts === "string") throw unreadable(identity, parts);
  const derived = segmentKeyOf(dataKey, parts.salt, identity);
  if (!sameSecret(derived.commitment, parts.commitment)) {
    throw unreadable(
      identity,
      "the key commitment does not match: another key or segment, or a damaged header",
    );
  }
  return { identity, key: derived.key, aad: frameAadOf(identity) };
}

/** Plaintext of one frame as it was sealed. Throws `SEGMENT_UNREADABLE`. */
export function openFrame(
  access: SegmentAccess,
  frame: number,
  last: boolean,
  sealed: Uint8Array,
): Uint8Array {
  // Frame numbers come from an index that may be damaged too.
  const known = Number.isInteger(frame) && frame >= 0 && frame <= FRAME_MAX;
  if (!known) throw unreadable(access.identity, `there is no frame ${frame}`);
  const plaintext = decrypt(access.key, frame, access.aad(frame, last), sealed);
  if (plaintext === undefined) {
    throw unreadable(access.identity, `frame ${frame} is damaged or not of this segment`);
  }
  return plaintext;
}

/** Plaintext of stored bytes, its length and id checked. Throws `SEGMENT_UNREADABLE`. */
export function plaintextOf(
  identity: SegmentIdentity,
  chunkIdKey: Uint8Array,
  chunk: Pick<FrameJob, "frame" | "id" | "rawBytes" | "compressed">,
  stored: Uint8Array,
): Uint8Array {
  const raw = chunk.compressed ? decompressChunk(stored, chunk.rawBytes) : stored;
  if (raw === undefined || raw.length !== chunk.rawBytes) {
    throw unreadable(identity, `frame ${chunk.frame} does not decompress to ${chunk.rawBytes} bytes`);
  }
  if (!equalBytes(hmacSha256(chunkIdKey, raw), chunk.id)) {
    throw unreadable(identity, `frame ${chunk.frame} holds another chunk`);
  }
  return raw;
}

/** The plaintext of each frame asked for. Throws `SEGMENT_UNREADABLE`, which says which frame and what is wrong. */
export function openFrames(job: OpenJob): Uint8Array[] {
  const access = openHeader(job.dataKey, job, job.header);
  return job.frames.map((frame) => {
    const stored = openFrame(access, frame.frame, false, frame.sealed);
    const raw = plaintextOf(job, job.chunkIdKey, frame, stored);
    if (raw !== stored) letGo(stored);
    return raw;
  });
}
