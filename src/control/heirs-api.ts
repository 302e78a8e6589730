import { z } from "zod";

const count = z.int().nonnegative();
const isoTime = z.string();
/** Rows listed in one answer; the count beside each list is exact. */
export const ROWS_LISTED_MAX = 100;

export const drainRequest = z
  .object({
    action: z.enum(["status", "begin", "cancel"]),
    /** Answers when it is through, one way or the other. The node goes on by itself either way. */
    wait: z.boolean(),
  })
  .strict();
export type DrainRequest = z.infer<typeof drainRequest>;

const row = { ownerId: z.string(), row: z.string(), why: z.string() };

export const drainResult = z.object({
  /**
   * `none`: this node stays. `draining`: its shards are moved. `stuck`: what is left has nowhere to go for now; it is tried
   * again. `done`: it may be switched off.
   */
  state: z.enum(["none", "draining", "stuck", "done"]),
  shardsLeft: count,
  bytesLeft: count,
  /** Since this daemon started. */
  bytesMoved: count,
  /** Expected end, by the share of the uplink that repair has. */
  expectedAt: isoTime.optional(),
  /** Shards of which no map is known here. */
  shardsUnknown: count,
  /** Copies too many: looked for elsewhere. */
  shardsSurplus: count,
  stuck: z.array(z.object(row)).max(ROWS_LISTED_MAX),
});
export type DrainResult = z.infer<typeof drainResult>;

/** What this node does for owners whose own node is away. */
export const heirsStanding = z.object({
  owners: z.array(z.string()).max(ROWS_LISTED_MAX),
  queued: count,
  queue: z
    .array(
      z.object({
        ownerId: z.string(),
        row: z.string(),
        margin: z.int(),
        slots: z.array(z.object({ slot: count, why: z.string() })),
        /** When this node does it, if nobody has by then. */
        turnAt: isoTime,
      }),
    )
    .max(ROWS_LISTED_MAX),
  stuck: z.array(z.object({ ...row, margin: z.int() })).max(ROWS_LISTED_MAX),
  waiting: z.enum(["cut-off", "frozen"]).optional(),
  mended: count,
  slotsMoved: count,
  /** Shards copied while this node was cut off; no map names them. */
  copied: count,
  segments: count,
  bytesIn: count,
  bytesOut: count,
  failures: count,
  recordsRefused: count,
  claimsRefused: count,
  /** Copies on this disk that the maps look for elsewhere. */
  surplus: z
    .object({
      copies: count,
      /** Since the start. */
      dropped: count,
      droppedBytes: count,
      /** Why those that were looked at last stay. */
      kept: z.array(z.object({ why: z.string(), copies: count })).max(ROWS_LISTED_MAX),
      /** Shards promised to others since the start, for 30 days. */
      promised: count,
    })
    .optional(),
});
export type HeirsStanding = z.infer<typeof heirsStanding>;
