import { z } from "zod";
import { bytesOf, bytesUpTo, codec, count, peerId } from "./codec.ts";
import { ENTRY_BYTES_MAX, refusalSchema } from "./membership.ts";
import { SIGNED_BODY_BYTES_MAX } from "./signed.ts";
import { PACKED_TICK_BYTES, TICKS_SENT_MAX } from "./ticks.ts";

/** Messages of protocol `sync`: two members find out what they hold differently, and even it out. */

export const SYNC_BUCKETS = 256;
export const SYNC_BUCKET_HASH_BYTES = 16;
/** 56 KiB or so. */
export const SYNC_LIST_ITEMS_MAX = 1024;
export const SYNC_FETCH_ITEMS_MAX = 512;
/** What is put into one message; a single larger record goes alone. */
export const SYNC_MESSAGE_BYTES_MAX = 512 * 1024;

/** The two sets that are compared. */
export const SYNC_SETS = ["roster", "records"] as const;
export type SyncSetName = (typeof SYNC_SETS)[number];

const itemKey = bytesOf(16);
const hash = bytesOf(32);
const setName = z.enum(SYNC_SETS);
const itemName = z.tuple([itemKey, hash]);
const packedTicks = bytesUpTo(TICKS_SENT_MAX * PACKED_TICK_BYTES);
const recordBytes = bytesUpTo(SIGNED_BODY_BYTES_MAX + 1024);

const syncRequestSchema = z.discriminatedUnion("kind", [
  /** Are these the fingerprints of your sets? */
  z.object({ v: z.literal(1), kind: z.literal("compare"), roster: hash, records: hash }).strict(),
  /** What is in those buckets (bit 7 of byte 0 is bucket 0), behind an item? */
  z
    .object({
      v: z.literal(1),
      kind: z.literal("list"),
      set: setName,
      buckets: bytesOf(SYNC_BUCKETS / 8),
      after: itemName.exactOptional(),
    })
    .strict(),
  z
    .object({
      v: z.literal(1),
      kind: z.literal("fetch"),
      set: setName,
      items: z.array(itemName).min(1).max(SYNC_FETCH_ITEMS_MAX),
    })
    .strict(),
  z
    .object({
      v: z.literal(1),
      kind: z.literal("push"),
      /** Just happened, to be passed on; false for what a comparison found missing. */
      news: z.boolean(),
      roster: z.array(bytesUpTo(ENTRY_BYTES_MAX)).max(SYNC_FETCH_ITEMS_MAX),
      records: z.array(recordBytes).max(SYNC_FETCH_ITEMS_MAX),
    })
    .strict(),
  /** A member does not let me in: push it what says that I am one. */
  z.object({ v: z.literal(1), kind: z.literal("introduce"), to: peerId }).strict(),
  /** Newest ticks that the other may not have; `fresh`: nothing that was exchanged before counts. */
  z.object({ v: z.literal(1), kind: z.literal("ticks"), fresh: z.boolean(), ticks: packedTicks }).strict(),
]);
export type SyncRequest = z.output<typeof syncRequestSchema>;
export const syncRequestCodec = codec("sync request", syncRequestSchema);

const bucketHashes = bytesOf(SYNC_BUCKETS * SYNC_BUCKET_HASH_BYTES);

const syncAnswerSchema = z.discriminatedUnion("kind", [
  /** Bucket hashes of the sets that differ. */
  z
    .object({
      v: z.literal(1),
      kind: z.literal("compared"),
      /** What the asker is here, unless it is a member: so that it learns of it. The records are then few types only. */
      as: z.literal("former").exactOptional(),
      roster: bucketHashes.exactOptional(),
      records: bucketHashes.exactOptional(),
    })
    .strict(),
  z
    .object({
      v: z.literal(1),
      kind: z.literal("listed"),
      /** Key, epoch, rank, hash; in the order of (key, hash). */
      items: z.array(z.tuple([itemKey, count, z.int().min(0).max(255), hash])).max(SYNC_LIST_ITEMS_MAX),
      more: z.boolean(),
    })
    .strict(),
  z
    .object({
      v: z.literal(1),
      kind: z.literal("fetched"),
      /** How many of the asked items this answers, from the first on; those that are gone are left out below. */
      answered: z.int().min(1).max(SYNC_FETCH_ITEMS_MAX),
      entries: z.array(recordBytes).max(SYNC_FETCH_ITEMS_MAX),
    })
    .strict(),
  z
    .object({ v: z.literal(1), kind: z.literal("taken"), added: count, known: count, refused: count })
    .strict(),
  /** Whether that member has taken it. */
  z.object({ v: z.literal(1), kind: z.literal("introduced"), done: z.boolean() }).strict(),
  /** Those that the asker may not have. */
  z.object({ v: z.literal(1), kind: z.literal("ticked"), ticks: packedTicks }).strict(),
  refusalSchema,
]);
export type SyncAnswer = z.output<typeof syncAnswerSchema>;
export const syncAnswerCodec = codec("sync answer", syncAnswerSchema);
