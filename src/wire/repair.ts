import { z } from "zod";
import { KIB, MIB } from "../base/units.ts";
import { bytesOf, bytesUpTo, codec, count, incarnation, ownerId, peerId, segmentNumber } from "./codec.ts";
import { SHARDS_MAX } from "./descriptor.ts";

/** Witnesses of an absence in one record: several times what any quorum needs. */
export const REPAIR_WITNESSES_MAX = 16;
/** Repairs of one slot on one version of the owner. */
export const REPAIR_COUNT_MAX = 1024;
/** Records, and what goes with them, in one message. */
export const REPAIRS_MAX_IN_MESSAGE = 64;
/** Shards named in one answer. */
export const LISTED_SHARDS_MAX = 4096;
export const REPAIR_MESSAGE_BYTES_MAX = 4 * MIB;
/** With 16 witnesses that each name 256 members: nothing that anybody has a reason to send. */
export const REPAIR_RECORD_BYTES_MAX = 512 * KIB;
export const REPAIR_CLAIM_BYTES_MAX = 512 * KIB;
const DESCRIPTOR_BYTES_MAX = 8 * KIB;
const RECEIPT_BYTES_MAX = 2 * KIB;
const STATEMENT_BYTES_MAX = 20 * KIB;

const slotFields = {
  owner: ownerId,
  /** Of the owner whose map it is about. */
  incarnation,
  class: z.int().min(0).max(65_535),
  partition: z.int().min(0).max(4095),
  fromSegment: segmentNumber,
  slot: z
    .int()
    .min(0)
    .max(SHARDS_MAX - 1),
  ownerVersion: count,
  /** Who has the slot; absent: nobody. */
  from: peerId.exactOptional(),
};

const causes = [
  /** Signed `silence` records that name who has the slot. */
  z
    .object({
      t: z.literal("absent"),
      witnesses: z.array(bytesUpTo(STATEMENT_BYTES_MAX)).min(1).max(REPAIR_WITNESSES_MAX),
    })
    .strict(),
  /** Its own signed words convict it: they spread to every member by themselves. */
  z.object({ t: z.literal("convicted") }).strict(),
  z.object({ t: z.literal("gone-from-roster") }).strict(),
  /** Its own signed `status` that says so. */
  z.object({ t: z.literal("draining"), statement: bytesUpTo(STATEMENT_BYTES_MAX) }).strict(),
  z.object({ t: z.literal("site-rule") }).strict(),
  z.object({ t: z.literal("same-peer") }).strict(),
  z.object({ t: z.literal("empty") }).strict(),
] as const;

const repairCause = z.discriminatedUnion("t", [...causes]);
export type RepairCauseBody = z.output<typeof repairCause>;

const claimCause = z.discriminatedUnion("t", [
  ...causes,
  /** The signer has the slot itself, and has lost the shard: it admits that. */
  z.object({ t: z.literal("mend") }).strict(),
  /** The signer is cut off, and copies what it can reach; it moves no slot by this. */
  z.object({ t: z.literal("cut-off") }).strict(),
]);
export type ClaimCauseBody = z.output<typeof claimCause>;

/** Body of a `repair`, signed by the node that made the shard anew: one slot of an owner's map has another holder. */
export const repairBody = codec(
  "repair record",
  z
    .object({
      v: z.literal(1),
      ...slotFields,
      repairs: z.int().min(1).max(REPAIR_COUNT_MAX),
      to: peerId,
      rank: z
        .int()
        .min(0)
        .max(2 * SHARDS_MAX - 1),
      rosterEpoch: count,
      cause: repairCause,
      /** Of one segment of the row, as its owner signed it. */
      descriptor: bytesUpTo(DESCRIPTOR_BYTES_MAX),
      /** Of `to`, for the shard `slot` of that segment. */
      receipt: bytesUpTo(RECEIPT_BYTES_MAX),
      timeMs: count,
    })
    .strict(),
);
export type RepairBody = ReturnType<(typeof repairBody)["decode"]>;

/** Body of a `repair-claim`: why its signer asks for, or hands over, shards of somebody else's. */
export const repairClaimBody = codec(
  "repair claim",
  z
    .object({
      v: z.literal(1),
      ...slotFields,
      repairs: z.int().min(0).max(REPAIR_COUNT_MAX),
      cause: claimCause,
      timeMs: count,
    })
    .strict(),
);
export type RepairClaimBody = ReturnType<(typeof repairClaimBody)["decode"]>;

const claim = bytesUpTo(REPAIR_CLAIM_BYTES_MAX);
const descriptor = bytesUpTo(DESCRIPTOR_BYTES_MAX);
const shardIndex = z
  .int()
  .min(0)
  .max(SHARDS_MAX - 1);
const records = z.array(bytesUpTo(REPAIR_RECORD_BYTES_MAX)).max(REPAIRS_MAX_IN_MESSAGE);

/** What those who repair for an owner ask of each other, over the `data` protocol. */
export const repairRequests = [
  /** A whole shard of the claim's row. Answer: `shard`. */
  z
    .object({
      t: z.literal("repair-get"),
      v: z.literal(1),
      claim,
      number: segmentNumber,
      index: shardIndex,
    })
    .strict(),
  /** The body is a whole shard of the claim's slot. Answer: `receipt`. */
  z.object({ t: z.literal("repair-put"), v: z.literal(1), claim, index: shardIndex, descriptor }).strict(),
  /** Which shards of the claim's row have you, of segments above `after`? Answer: `listed`. */
  z
    .object({ t: z.literal("repair-list"), v: z.literal(1), claim, after: segmentNumber.exactOptional() })
    .strict(),
  /** Take these repair records of one owner, and what it signed itself as far as they rest on it. Answer: `taken`. */
  z
    .object({
      t: z.literal("repaired"),
      v: z.literal(1),
      owner: ownerId,
      records,
      kept: z.array(bytesUpTo(MIB)).max(REPAIRS_MAX_IN_MESSAGE),
    })
    .strict(),
  /** Which repair records of an owner do you have? Answer: `repairs`. */
  z
    .object({
      t: z.literal("repairs"),
      v: z.literal(1),
      owner: ownerId,
      /** SHA-256 of the hashes of all that the asker has, sorted: where it is the same, nothing comes back. */
      digest: bytesOf(32),
      after: bytesOf(32).exactOptional(),
    })
    .strict(),
] as const;

export const repairAnswers = [
  /** Rising; all that are there of each segment named. `more`: there are others above the last. */
  z
    .object({
      t: z.literal("listed"),
      v: z.literal(1),
      shards: z.array(z.tuple([segmentNumber, shardIndex])).max(LISTED_SHARDS_MAX),
      more: z.boolean(),
    })
    .strict(),
  z.object({ t: z.literal("taken"), v: z.literal(1), taken: count, waiting: count, refused: count }).strict(),
  /** In the order of their hashes; `more`: there are others behind `last`. */
  z
    .object({
      t: z.literal("repairs"),
      v: z.literal(1),
      records,
      more: z.boolean(),
      /** Hash of the last record. */
      last: bytesOf(32).exactOptional(),
    })
    .strict(),
] as const;
