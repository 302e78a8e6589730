import { z } from "zod";
import { DAY_MS, KIB } from "../base/units.ts";
import { bytesOf, bytesUpTo, codec, count, incarnation, ownerId, segmentNumber } from "./codec.ts";

/** Nobody can have anything locked for longer, be it by mistake or with a stolen key. */
export const LOCK_MAX_MS = 400 * DAY_MS;
/** Of one statement: 65,536 segments of one row. */
export const LOCK_BITS_BYTES_MAX = 8 * KIB;
/** A signed `lock`. */
export const LOCK_BYTES_MAX = 12 * KIB;
/** In one message; each may have a holder look for as many shards as it has bits. */
export const LOCKS_MAX_IN_MESSAGE = 16;
/** Its sealed part is at most 64 KiB; the rest of it is small. */
const HEAD_BYTES_MAX = 128 * KIB;
/** A signed `locked`. */
export const LOCKED_BYTES_MAX = 160 * KIB;

/**
 * Body of a `lock`, signed by the owner under the life that it has now: bit i stands for segment `first + i * partitions` of
 * `life`. Whoever holds a shard of one keeps it for `forMs` of its own running time from when it hears of this first.
 */
export const lockBody = codec(
  "lock",
  z
    .object({
      v: z.literal(1),
      /** Whose segments these are: the signer's own life, or an earlier one. */
      life: incarnation,
      class: z.int().min(0).max(65_535),
      partitions: z.int().min(1).max(4096),
      first: segmentNumber,
      bits: bytesUpTo(LOCK_BITS_BYTES_MAX),
      forMs: z.int().min(0).max(LOCK_MAX_MS),
      /** Hash of the head that lists the snapshot for whose sake it is; kept as long. */
      head: bytesOf(32),
    })
    .strict(),
);
export type LockBody = ReturnType<(typeof lockBody)["decode"]>;

export const lockRequestFields = {
  t: z.literal("lock"),
  v: z.literal(1),
  /** The signed head that all of these name. */
  head: bytesUpTo(HEAD_BYTES_MAX),
  /** Signed `lock` statements of its owner. */
  locks: z.array(bytesUpTo(LOCK_BYTES_MAX)).min(1).max(LOCKS_MAX_IN_MESSAGE),
};

export const lockedAnswerFields = {
  t: z.literal("locked"),
  v: z.literal(1),
  /** Signed by the holder: `lockedBody`. */
  locked: bytesUpTo(LOCKED_BYTES_MAX),
};

/** Body of a `locked`, signed by the holder after it is on its disk: what it keeps of what it was asked to keep. */
export const lockedBody = codec(
  "locked",
  z
    .object({
      v: z.literal(1),
      owner: ownerId,
      timeMs: count,
      locks: z
        .array(
          z
            .object({
              /** SHA-256 of the statement as it came. */
              statement: bytesOf(32),
              /** Those of its segments of which this holder has a shard that it keeps, in the statement's own order. */
              bits: bytesUpTo(LOCK_BITS_BYTES_MAX),
              /** The least that is left for any of these, by the holder's running time; 0 where there are none. */
              forMs: count,
            })
            .strict(),
        )
        .min(1)
        .max(LOCKS_MAX_IN_MESSAGE),
    })
    .strict(),
);
export type LockedBody = ReturnType<(typeof lockedBody)["decode"]>;
