import { z } from "zod";
import { survives } from "./survives-api.ts";

/** What repair of a node's own repository says of itself: requests and results. */

const count = z.int().nonnegative();
const isoTime = z.string();
const KINDS_MAX = 64;

export const repairRequest = z.object({ now: z.boolean() }).strict();
export type RepairRequest = z.infer<typeof repairRequest>;

export const repairQueue = z.object({
  /** Segments that something is due for and that can be worked on. */
  segments: count,
  shards: count,
  /** To be sent; where the owner has not got the bytes, k times as many are read before. */
  bytes: count,
  /** Of any segment that a snapshot needs: shards vouched for on holders that are up, less k. */
  worstMargin: z.int(),
  /** When it will be empty; absent while it is, or where the schedule lets nothing through. */
  expectedFinish: isoTime.optional(),
  /** Shards by why they are due. */
  reasons: z.array(z.object({ reason: z.string(), shards: count })).max(KINDS_MAX),
  /** Shards on holders that are absent, until their grace is over. */
  waiting: z.object({ shards: count, nextDue: isoTime.optional() }),
  /** Shards that are due and can go nowhere. */
  stuck: z.array(z.object({ why: z.string(), shards: count })).max(KINDS_MAX),
});
export type RepairQueue = z.infer<typeof repairQueue>;

export const repairStanding = z.object({
  /** When all segments were last looked at. */
  lookedAt: isoTime,
  /** That snapshots need. */
  segments: count,
  /** Needed, and not read yet since the repository was recovered. */
  unknown: count,
  /** Shards vouched for, less k, of the segment that has fewest; on holders that are away, too. */
  margin: z.int(),
  survives,
  /** Segments that do not survive what their profile is meant to survive. */
  belowPolicy: count,
  absentShards: count,
  suspectShards: count,
  /** `calm`, or what keeps repair from touching what is not urgent. */
  weather: z.enum(["calm", "frozen", "cut-off"]),
  queue: repairQueue,
});
export type RepairStanding = z.infer<typeof repairStanding>;

export const repairResult = z.object({
  now: z.boolean(),
  /** Shards whose holders said whether they have them; of this round with `now`, else since the start. */
  scanned: count,
  /** Shards that were gone or wrong: of this round with `now`, else since the start. */
  corrupt: count,
  /** Repair sets nothing aside: 0. */
  quarantined: count,
  repaired: count,
  failed: count,
  /** Read from holders and sent to them. */
  bytesMoved: count,
  bytesRead: count,
  bytesSent: count,
  /** Holders that did not answer. */
  silent: count,
  /** Due, and not touched because of the weather. */
  held: count,
  /** Absent before all segments were looked at for the first time. */
  standing: repairStanding.optional(),
});
export type RepairResult = z.infer<typeof repairResult>;
