import { z } from "zod";
import { concatBytes, u32be } from "../base/bytes.ts";
import { KIB, MIB } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import { bytesOf, bytesUpTo, codec, count, incarnation, ownerId, segmentNumber } from "./codec.ts";
import { DESCRIPTOR_BYTES_MAX, LEAF_BYTES_MAX, SEGMENT_BYTES_MAX, SHARDS_MAX } from "./descriptor.ts";

/** Leaves asked for in one message. */
export const AUDIT_LEAVES_MAX = 64;
/** Leaves answered in one message, in bytes: 64 of the usual 16 KiB are a quarter of it. */
export const AUDIT_BODY_BYTES_MAX = 4 * MIB;
/** Of a shard of 16 MiB with the smallest leaves, 64 bytes. */
const LEAVES_MAX = 2 ** 18;
const PROOF_HASHES_MAX = 64;
/** A statement about 64 leaves takes 15 KiB, a receipt less than one. */
const STATEMENT_BYTES_MAX = 64 * KIB;
const RECEIPT_BYTES_MAX = 4 * KIB;

const hash = bytesOf(32);

/**
 * One leaf of one shard of the owner that the request names. The root is part of the question: what a holder says, it
 * says about the bytes with this root, whatever else an owner may have signed for the same segment.
 */
export const auditChallenge = z
  .object({
    incarnation,
    number: segmentNumber,
    index: z
      .int()
      .min(0)
      .max(SHARDS_MAX - 1),
    root: hash,
    leaf: z
      .int()
      .min(0)
      .max(LEAVES_MAX - 1),
  })
  .strict();
export type AuditChallenge = z.output<typeof auditChallenge>;

export const auditRequestFields = {
  t: z.literal("audit"),
  v: z.literal(1),
  owner: ownerId,
  nonce: hash,
  challenges: z.array(auditChallenge).min(1).max(AUDIT_LEAVES_MAX),
  /**
   * Of whoever is in none of the rows any more: the signed descriptors that lie beside its own copies. What was asked, and is
   * signed in the answer, are the challenges alone.
   */
  descriptors: z.array(bytesUpTo(DESCRIPTOR_BYTES_MAX)).min(1).max(AUDIT_LEAVES_MAX).exactOptional(),
};

export const auditAnswerFields = {
  t: z.literal("audit"),
  v: z.literal(1),
  /** Signed by the holder: `auditStatement`. */
  statement: bytesUpTo(STATEMENT_BYTES_MAX),
  /** A range proof for each leaf in the body, in the order of the challenges. */
  proofs: z.array(z.array(hash).max(PROOF_HASHES_MAX)).max(AUDIT_LEAVES_MAX),
};

const found = z
  .object({
    shardBytes: z.int().min(1).max(SEGMENT_BYTES_MAX),
    leafBytes: z.int().min(64).max(LEAF_BYTES_MAX),
    /** `auditAnswerHash` of the leaf and proof that go with it. */
    hash,
  })
  .strict();
export type AuditFound = z.output<typeof found>;

/** Body of an `audit`, signed by the holder's node key: what it was asked, and what it answered to each. */
export const auditStatement = codec(
  "audit statement",
  z
    .object({
      v: z.literal(1),
      owner: ownerId,
      nonce: hash,
      timeMs: count,
      items: z
        .array(
          z
            .object({
              asked: auditChallenge,
              /** `null`: it has no shard of this id whose bytes have this root. */
              found: found.nullable(),
              /** With `null`: it has set the shard aside and says so to everybody concerned. An admission contradicts no receipt. */
              told: z.literal(true).exactOptional(),
            })
            .strict(),
        )
        .min(1)
        .max(AUDIT_LEAVES_MAX),
    })
    .strict(),
);
export type AuditStatement = ReturnType<(typeof auditStatement)["decode"]>;

/** What ties a leaf and its proof to the statement: SHA-256 of u32(number of hashes), the hashes, the leaf. */
export function auditAnswerHash(leaf: Uint8Array, proof: readonly Uint8Array[]): Uint8Array {
  return sha256(concatBytes(u32be(proof.length), ...proof, leaf));
}

/** Bytes of one leaf in a shard of this layout; 0 where it has no such leaf. */
export function leafLength(layout: { shardBytes: number; leafBytes: number }, leaf: number): number {
  return Math.max(0, Math.min(layout.leafBytes, layout.shardBytes - leaf * layout.leafBytes));
}

/** Proof, for anybody, that a holder has lost or altered a shard: its own signed words against each other. */
export const convictionCodec = codec(
  "conviction",
  z
    .object({
      v: z.literal(1),
      /** The signed `audit`. */
      statement: bytesUpTo(STATEMENT_BYTES_MAX),
      /** Which of its items. */
      position: z
        .int()
        .min(0)
        .max(AUDIT_LEAVES_MAX - 1),
      proof: z.discriminatedUnion("t", [
        /** What it answered is not what the root says. */
        z
          .object({
            t: z.literal("wrong"),
            leaf: bytesUpTo(LEAF_BYTES_MAX),
            proof: z.array(hash).max(PROOF_HASHES_MAX),
          })
          .strict(),
        /** It had given a receipt before for what it then said not to have. */
        z.object({ t: z.literal("denied"), receipt: bytesUpTo(RECEIPT_BYTES_MAX) }).strict(),
      ]),
    })
    .strict(),
);
export type ConvictionRecord = ReturnType<(typeof convictionCodec)["decode"]>;
