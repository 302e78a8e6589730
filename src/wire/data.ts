import { z } from "zod";
import { auditAnswerFields, auditRequestFields } from "./audit.ts";
import {
  bytesOf,
  bytesUpTo,
  codec,
  count,
  incarnation,
  ownerId,
  segmentNumber,
  swarmId,
  textUpTo,
} from "./codec.ts";
import { SEGMENT_BYTES_MAX, SHARDS_MAX } from "./descriptor.ts";
import {
  liveAnswerFields,
  liveGetRequestFields,
  liveKeptAnswerFields,
  liveSetRequestFields,
} from "./live-set.ts";
import { lockedAnswerFields, lockRequestFields } from "./lock.ts";
import { lostRequestFields, notedAnswerFields } from "./losses.ts";
import { promisedAnswerFields, promiseRequestFields } from "./promise.ts";
import { repairAnswers, repairRequests } from "./repair.ts";

/** A signed record in its envelope: bounds what one field can hold. */
const record = bytesUpTo(1024 * 1024);
const shardIndex = z
  .int()
  .min(0)
  .max(SHARDS_MAX - 1);

/** Shards asked about in one `have`: 10,000 of them are about 200 KiB of message. */
export const HAVE_SHARDS_MAX = 10_000;
export const RECORDS_MAX = 256;

const segmentFields = { owner: ownerId, incarnation, number: segmentNumber };

const shardList = z.array(z.tuple([segmentNumber, shardIndex])).max(HAVE_SHARDS_MAX);

/** What a member may ask another over the `data` protocol, and a recovery identity over `recover`. */
export const dataRequestSchema = z.discriminatedUnion("t", [
  /** The body is the whole shard. Answer: `receipt`. */
  z.object({ t: z.literal("put"), v: z.literal(1), index: shardIndex, descriptor: record }).strict(),
  /**
   * The body of the answer (`shard`) is the bytes from `offset`, `length` of them, both multiples of the leaf
   * size (the end of the shard excepted); length 0 asks for the whole shard, without proof.
   */
  z
    .object({
      t: z.literal("get"),
      v: z.literal(1),
      ...segmentFields,
      index: shardIndex,
      offset: z.int().min(0).max(SEGMENT_BYTES_MAX),
      length: z.int().min(0).max(SEGMENT_BYTES_MAX),
    })
    .strict(),
  /** Which of these does the peer's index list? Answer: `have`. */
  z
    .object({ t: z.literal("have"), v: z.literal(1), owner: ownerId, incarnation, shards: shardList })
    .strict(),
  /** Keep these records (heads and maps) of the sender's owner. Answer: `kept`. */
  z.object({ t: z.literal("keep"), v: z.literal(1), records: z.array(record).max(RECORDS_MAX) }).strict(),
  /** The newest head of each life of an owner, and its maps, as far as they are kept. Answer: `records`. */
  z.object({ t: z.literal("records"), v: z.literal(1), owner: ownerId }).strict(),
  /** Prove that these leaves are there. Answer: `audit`. */
  z.object(auditRequestFields).strict(),
  /** The sender has lost these of its shards. Answer: `noted`. */
  z.object(lostRequestFields).strict(),
  /** Will the receiver, whom the map names for these shards, keep its copies of them? Answer: `promised`. */
  z.object(promiseRequestFields).strict(),
  /** What the sender's owner still wants; the list is in the body. Answer: `live-kept`. */
  z.object(liveSetRequestFields).strict(),
  /** Answer: `live`. */
  z.object(liveGetRequestFields).strict(),
  /** Keep these segments, and this head, for so long. Answer: `locked`. */
  z.object(lockRequestFields).strict(),
  ...repairRequests,
]);

export const REFUSALS = [
  "no-room",
  "not-allowed",
  "conflict",
  "quota",
  "fenced",
  "missing",
  "invalid",
  "stale",
] as const;
export type Refusal = (typeof REFUSALS)[number];

const answer = z.discriminatedUnion("t", [
  /** Signed by the holder after data and index are synced. */
  z.object({ t: z.literal("receipt"), v: z.literal(1), receipt: record }).strict(),
  z
    .object({
      t: z.literal("shard"),
      v: z.literal(1),
      descriptor: record,
      /** Merkle proof of the range; empty for a whole shard. */
      proof: z.array(bytesOf(32)).max(64),
    })
    .strict(),
  /** One bit a shard asked about, the first in the lowest bit of the first byte. */
  z.object({ t: z.literal("have"), v: z.literal(1), held: bytesUpTo(HAVE_SHARDS_MAX / 8) }).strict(),
  z.object({ t: z.literal("kept"), v: z.literal(1), receipt: record }).strict(),
  z.object({ t: z.literal("records"), v: z.literal(1), records: z.array(record).max(RECORDS_MAX) }).strict(),
  /** The body: the leaves that are there, one after the other in the order of the challenges. */
  z.object(auditAnswerFields).strict(),
  z.object(notedAnswerFields).strict(),
  z.object(promisedAnswerFields).strict(),
  z.object(liveKeptAnswerFields).strict(),
  z.object(liveAnswerFields).strict(),
  z.object(lockedAnswerFields).strict(),
  ...repairAnswers,
  z
    .object({
      t: z.literal("refused"),
      v: z.literal(1),
      refusal: z.enum(REFUSALS),
      reason: textUpTo(500),
      freeBytes: count,
    })
    .strict(),
]);

export type DataRequest = z.output<typeof dataRequestSchema>;
export type LostRequest = Extract<DataRequest, { t: "lost" }>;
export type PromiseRequest = Extract<DataRequest, { t: "promise" }>;
export type LockRequest = Extract<DataRequest, { t: "lock" }>;
export type AuditRequest = Extract<DataRequest, { t: "audit" }>;
/** Of members that repair for an owner: `repair/` answers them. */
export type RepairRequest = Extract<
  DataRequest,
  { t: "repair-get" | "repair-put" | "repair-list" | "repaired" | "repairs" }
>;
/** About what an owner still wants: `gc/` answers them. */
export type LiveRequest = Extract<DataRequest, { t: "live-set" | "live-get" }>;
/** What one end asks of another's `Holder`. */
export type OwnerRequest = Exclude<
  DataRequest,
  RepairRequest | LostRequest | PromiseRequest | LiveRequest | LockRequest
>;

export function isLiveRequest(request: DataRequest): request is LiveRequest {
  return request.t === "live-set" || request.t === "live-get";
}

export function isRepairRequest(request: DataRequest): request is RepairRequest {
  return (
    request.t === "repair-get" ||
    request.t === "repair-put" ||
    request.t === "repaired" ||
    request.t === "repair-list" ||
    request.t === "repairs"
  );
}

export type DataAnswer = z.output<typeof answer>;
export type DataAnswerOf<T extends DataAnswer["t"]> = Extract<DataAnswer, { t: T }>;

export const dataRequest = codec("request", dataRequestSchema);
export const dataAnswer = codec("answer", answer);

/** Body of a `receipt`, signed by the holder's node key: it has this shard, synced. */
export const receiptBody = codec(
  "receipt",
  z
    .object({ v: z.literal(1), ...segmentFields, index: shardIndex, root: bytesOf(32), timeMs: count })
    .strict(),
);

/** Body of a `head-receipt`, signed by the node that keeps the records: SHA-256 of each record's bytes. */
export const keptBody = codec(
  "kept",
  z
    .object({
      v: z.literal(1),
      owner: ownerId,
      hashes: z.array(bytesOf(32)).max(RECORDS_MAX),
      timeMs: count,
    })
    .strict(),
);

/** What a holder keeps beside the bytes of a shard. */
export const shardNote = codec(
  "shard note",
  z.object({ v: z.literal(1), root: bytesOf(32), descriptor: record, receivedMs: count }).strict(),
);
export type ShardNote = ReturnType<(typeof shardNote)["decode"]>;

/** The slot record's body, signed by the recovery identity: what the 24 words open. */
export const slotBody = codec(
  "slot",
  z
    .object({
      v: z.literal(1),
      swarm: swarmId,
      owner: ownerId,
      /** The owner's root, wrapped with the recovery key. */
      wrappedRoot: bytesUpTo(1024),
      /** The seed of the administrator whose node this is, wrapped likewise. */
      wrappedAdministrator: bytesUpTo(1024).exactOptional(),
    })
    .strict(),
);

/** Body of an `incarnation` record, signed by the recovery identity: this life of the owner fences all others. */
export const incarnationBody = codec(
  "incarnation",
  z.object({ v: z.literal(1), owner: ownerId, incarnation, timeMs: count }).strict(),
);
