import { z } from "zod";
import {
  bytesOf,
  bytesUpTo,
  codec,
  count,
  incarnation,
  MESSAGE_SHAPE,
  peerId,
  segmentNumber,
} from "./codec.ts";
import { SHARDS_MAX } from "./descriptor.ts";

/**
 * Body of a head, signed by the owner; incarnation and epoch are in the envelope. What holders see: that there is
 * a newer state, when, and how far segment numbers go. What it says is sealed.
 */
export const headBody = codec(
  "head",
  z
    .object({
      v: z.literal(1),
      /** Hash of the head before this one; absent in an owner's first. */
      parent: bytesOf(32).optional(),
      timeMs: count,
      /** All segments of this incarnation have numbers below. */
      nextSegment: segmentNumber,
      /** `headPayload`, sealed with the owner's metadata key. */
      payload: bytesUpTo(64 * 1024),
    })
    .strict(),
);
export type HeadBody = ReturnType<(typeof headBody)["decode"]>;

/**
 * Where a chunk lies: enough, with the maps, to read it without the index. `incarnation` is a position in the
 * head's list of incarnations, `class` names the map.
 */
export const locator = z
  .object({
    id: bytesOf(32),
    incarnation: z.int().min(0).max(65_535),
    class: z.int().min(0).max(65_535),
    segment: segmentNumber,
    frame: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
    offset: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
    sealedBytes: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
    rawBytes: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
    compressed: z.boolean(),
  })
  .strict();
export type Locator = z.output<typeof locator>;

/** At most so many pages of the trail are kept: about 8,000 entries. */
export const TRAIL_PAGES_MAX = 64;

/** A head can claim any number of entries; a thief's must not use the numbers up. */
export const TRAIL_SEQUENCE_MAX = 2 ** 40;

/** Where the audit trail stands: its last entry, and the chunks that hold it. */
export const trailStanding = z
  .object({
    sequence: z.int().min(0).max(TRAIL_SEQUENCE_MAX),
    hash: bytesOf(32),
    pages: z.array(z.object({ from: count, entries: count, at: locator }).strict()).max(TRAIL_PAGES_MAX),
  })
  .strict();
export type TrailStanding = z.output<typeof trailStanding>;

/** The lives of this owner, oldest first; everything stored refers to them by position. */
export const INCARNATIONS_MAX = 1024;

export const headPayload = codec(
  "head payload",
  z
    .object({
      v: z.literal(1),
      incarnations: z.array(incarnation).min(1).max(INCARNATIONS_MAX),
      /** The chunk of the catalog root. */
      root: locator,
      /** Sequence number of the newest snapshot. */
      snapshotSequence: count,
      /** Absent as long as nothing was entered. */
      trail: trailStanding.exactOptional(),
    })
    .strict(),
);
export type HeadPayload = ReturnType<(typeof headPayload)["decode"]>;

const generation = z
  .object({
    from: segmentNumber,
    /** For each shard index the position in `peers`; 65535 where nobody holds it. */
    slots: z.array(z.int().min(0).max(65_535)).min(1).max(SHARDS_MAX),
    /** [owner version, repair count] of each slot; none at all when every one is [1, 0]. */
    versions: z.array(z.tuple([count, count])).max(SHARDS_MAX),
  })
  .strict();

/** Generations add up over the years. Decoded only after its owner's signature was checked. */
const MAP_SHAPE = { ...MESSAGE_SHAPE, itemsMax: 2 ** 19 };

/** Body of the placement map of one class, signed by the owner; src/placement gives it its meaning. */
export const mapBody = codec(
  "placement map",
  z
    .object({
      v: z.literal(1),
      class: z.int().min(0).max(65_535),
      k: z.int().min(1).max(SHARDS_MAX),
      m: z.int().min(0).max(SHARDS_MAX),
      /** Most shards of one segment at one site. */
      cap: z.int().min(1).max(SHARDS_MAX),
      partitions: z.int().min(1).max(4096),
      peers: z.array(peerId).max(4096),
      /** Partition -> generations, both rising; partitions not used yet are absent. */
      rows: z.array(z.tuple([z.int().min(0).max(4095), z.array(generation).min(1).max(4096)])).max(4096),
    })
    .strict(),
  MAP_SHAPE,
);
export type MapBody = ReturnType<(typeof mapBody)["decode"]>;
