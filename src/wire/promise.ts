import { z } from "zod";
import { KIB } from "../base/units.ts";
import { bytesOf, bytesUpTo, codec, count, incarnation, ownerId, peerId, segmentNumber } from "./codec.ts";
import { DESCRIPTOR_BYTES_MAX, SHARDS_MAX } from "./descriptor.ts";

/** Shards in one request: with their descriptors about 20 KiB, of 64 shards each 80. */
export const PROMISE_SHARDS_MAX = 32;
const PROMISE_BYTES_MAX = 32 * KIB;

const shardIndex = z
  .int()
  .min(0)
  .max(SHARDS_MAX - 1);

export const promiseRequestFields = {
  t: z.literal("promise"),
  v: z.literal(1),
  nonce: bytesOf(32),
  /** The signed descriptor of each, which lies beside the sender's own copy, and the shard of it that is asked about. */
  shards: z
    .array(z.object({ descriptor: bytesUpTo(DESCRIPTOR_BYTES_MAX), index: shardIndex }).strict())
    .min(1)
    .max(PROMISE_SHARDS_MAX),
};

export const promisedAnswerFields = {
  t: z.literal("promised"),
  v: z.literal(1),
  /** Signed by the holder: `promiseBody`. */
  promise: bytesUpTo(PROMISE_BYTES_MAX),
};

/**
 * Body of a `promise`, signed by the holder that the map names: it keeps its copies of these shards for `forMs` of its own running
 * time, so that `to` need not keep one too many.
 */
export const promiseBody = codec(
  "promise",
  z
    .object({
      v: z.literal(1),
      to: peerId,
      nonce: bytesOf(32),
      timeMs: count,
      forMs: count,
      shards: z
        .array(
          z
            .object({
              owner: ownerId,
              incarnation,
              number: segmentNumber,
              index: shardIndex,
              root: bytesOf(32),
            })
            .strict(),
        )
        .min(1)
        .max(PROMISE_SHARDS_MAX),
    })
    .strict(),
);
export type PromiseBody = ReturnType<(typeof promiseBody)["decode"]>;
export type PromisedShard = PromiseBody["shards"][number];
