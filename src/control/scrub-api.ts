import { z } from "zod";

const count = z.int().nonnegative();
const isoTime = z.string();
/** At most so many bad shards are listed; `waiting` is exact. */
export const BAD_LISTED_MAX = 10_000;

export const scrubRequest = z
  .object({
    /** `now` reads everything once; `pause` stays so over restarts. */
    action: z.enum(["status", "now", "pause", "resume"]),
    /** What is missing on the disk that is there now will not come back. */
    acceptMissing: z.boolean(),
  })
  .strict();
export type ScrubRequest = z.infer<typeof scrubRequest>;

const shardName = {
  ownerId: z.string(),
  incarnation: z.string(),
  number: count,
  index: count,
};

export const badShard = z.object({ ...shardName, bytes: count, reason: z.string(), since: isoTime });
export type BadShard = z.infer<typeof badShard>;

export const scrubResult = z.object({
  /** Whether the counts are of a round that was run now, or of the one in the background. */
  ran: z.boolean(),
  complete: z.boolean(),
  /** Shards read and compared with what they should be. */
  scanned: count,
  corrupt: count,
  quarantined: count,
  repaired: count,
  bytesRead: count,
  bytesMoved: count,
  /** Of this round or earlier ones: set aside and not held again. */
  waiting: count,
  bad: z.array(badShard).max(BAD_LISTED_MAX),
  paused: z.boolean(),
  disk: z.object({
    state: z.enum(["serving", "gone"]),
    reason: z.string().optional(),
    since: isoTime.optional(),
  }),
  /** When the byte that was read longest ago was read. */
  oldestUnverifiedMs: count,
  /** Every byte is to be read again within this time. */
  periodMs: count,
  roundStartedAt: isoTime,
  durationMs: count,
  notes: z.array(z.string()),
});
export type ScrubResult = z.infer<typeof scrubResult>;

export const shardsRequest = z
  .object({
    /** An owner's id or its beginning; absent: of everybody. */
    owner: z
      .string()
      .regex(/^[0-9a-f]{1,64}$/)
      .optional(),
    /** Those that were set aside instead of those that are held. */
    quarantined: z.boolean(),
  })
  .strict();
export type ShardsRequest = z.infer<typeof shardsRequest>;

export const shardInfo = z.object({
  ...shardName,
  /** Of the shard, from `offset` on in `file`; absent where no file is named. */
  bytes: count,
  file: z.string().optional(),
  offset: count.optional(),
  reason: z.string().optional(),
  since: isoTime.optional(),
});
export type ShardInfo = z.infer<typeof shardInfo>;

export const shardsResult = z.object({ shards: count, bytes: count });
export type ShardsResult = z.infer<typeof shardsResult>;
