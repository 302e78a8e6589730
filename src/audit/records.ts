import { z } from "zod";
import { concatBytes, u64be, utf8 } from "../base/bytes.ts";
import { type PeerId, publicKeyOfPeer } from "../base/ids.ts";
import { AUDIT_LEAVES_MAX, auditChallenge } from "../wire/audit.ts";
import { bytesOf, codec, count, OWN_SHAPE, ownerId, segmentNumber, textUpTo } from "../wire/codec.ts";
import { SHARDS_MAX } from "../wire/descriptor.ts";

/** Denials remembered for the rule that makes a holder suspect. */
export const DENIALS_MAX = 8;
export const REASON_CHARACTERS_MAX = 200;

const pending = z
  .object({
    nonce: bytesOf(32),
    challenges: z.array(auditChallenge).min(1).max(AUDIT_LEAVES_MAX),
  })
  .strict();
/** What a holder was asked and has not answered: it is asked for exactly this again. */
export type PendingAudit = z.output<typeof pending>;

const rowPending = z.object({ owner: ownerId, ...pending.shape }).strict();
/** Of another owner's segments. */
export type PendingRowAudit = z.output<typeof rowPending>;

const suspicion = z
  .object({ sinceMs: count, reason: textUpTo(REASON_CHARACTERS_MAX), evidence: bytesOf(32).optional() })
  .strict();
export type Suspicion = z.output<typeof suspicion>;

const holderRecord = z
  .object({
    v: z.literal(1),
    /** Leaves, since this home began to audit. A leaf that was late and came later is in both. */
    asked: count,
    proven: count,
    late: count,
    denied: count,
    wrong: count,
    lastAskedMs: count.optional(),
    lastProvenMs: count.optional(),
    /** Why the last audit was not answered; absent when it was. */
    problem: textUpTo(REASON_CHARACTERS_MAX).optional(),
    pending: pending.optional(),
    /** Likewise of segments of others of which both hold a shard. */
    rowPending: rowPending.optional(),
    /** When it denied shards lately, oldest first. */
    deniedMs: z.array(count).max(DENIALS_MAX),
    suspicion: suspicion.optional(),
  })
  .strict();
export type HolderRecord = Omit<z.output<typeof holderRecord>, "v">;
export const holderRecordCodec = codec("audit of a holder", holderRecord, OWN_SHAPE);

export const NEW_HOLDER: HolderRecord = { asked: 0, proven: 0, late: 0, denied: 0, wrong: 0, deniedMs: [] };

/** Shards of one holder of which one message proved a leaf: [position of the incarnation, number, index]. */
export const provenCodec = codec(
  "proven shards",
  z
    .object({
      v: z.literal(1),
      shards: z
        .array(
          z.tuple([
            z.int().min(0).max(65_535),
            segmentNumber,
            z
              .int()
              .min(0)
              .max(SHARDS_MAX - 1),
          ]),
        )
        .max(AUDIT_LEAVES_MAX),
    })
    .strict(),
  OWN_SHAPE,
);

/** First byte of a key in the namespace: one table each. */
export const PREFIX = {
  cursor: utf8("c"),
  holder: utf8("h"),
  proven: utf8("p"),
  evidence: utf8("e"),
} as const;

export const holderKey = (peer: PeerId): Uint8Array => concatBytes(PREFIX.holder, publicKeyOfPeer(peer));
export const evidencePrefix = (peer: PeerId): Uint8Array =>
  concatBytes(PREFIX.evidence, publicKeyOfPeer(peer));
export const evidenceKey = (peer: PeerId, id: Uint8Array): Uint8Array =>
  concatBytes(evidencePrefix(peer), id);
/** By time first, so that what has become too old is a range. */
export const provenKey = (timeMs: number, peer: PeerId, nonce: Uint8Array): Uint8Array =>
  concatBytes(provenPrefix(timeMs), publicKeyOfPeer(peer), nonce.subarray(0, 8));
export const provenPrefix = (timeMs: number): Uint8Array => concatBytes(PREFIX.proven, u64be(timeMs));

/** The end of a table: the first key of the next one. */
export function tableEnd(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  for (let at = end.length - 1; at >= 0; at--) {
    const byte = end[at] ?? 0;
    if (byte === 255) continue;
    end[at] = byte + 1;
    return end.subarray(0, at + 1);
  }
  return Uint8Array.of(255, 255);
}
