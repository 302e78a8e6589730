import { z } from "zod";
import { survives } from "./survives-api.ts";

/** What the removal of nodes would take: requests and results. */

const count = z.int().nonnegative();
const LISTED_MAX = 10_000;

export const planRequest = z
  .object({
    /** Names, peer ids or beginnings of them. */
    remove: z.array(z.string().min(1).max(255)).max(100),
    /** All nodes of these sites. */
    removeSites: z.array(z.string().min(1).max(64)).max(100),
  })
  .strict();
export type PlanRequest = z.infer<typeof planRequest>;

const named = { peerId: z.string(), name: z.string().optional() };

export const planResult = z.object({
  remove: z.array(z.object({ ...named, site: z.string() })).max(LISTED_MAX),
  /** Of this node's repository. */
  segments: count,
  bytes: z.object({
    /** Held by those that go. */
    held: count,
    /** Over the network when they drain: they hand it on themselves. */
    drained: count,
    /** When they are gone and this owner repairs: read from holders, sent to new ones, and both. */
    read: count,
    sent: count,
    repaired: count,
    /** Held by those that go, with no place to go to. */
    stuck: count,
  }),
  /** Of the worst segment. Absent without snapshots. `during`: all are gone, nothing was moved yet. */
  survives: z.object({ before: survives, during: survives, after: survives }).optional(),
  /** Shards less k: below 0 what only they hold is lost when they go without draining. */
  margin: z.object({ before: z.int(), during: z.int(), after: z.int() }).optional(),
  received: z.array(z.object({ ...named, bytes: count })).max(LISTED_MAX),
  stuck: z.array(z.object({ why: z.string(), shards: count })).max(64),
});
export type PlanResult = z.infer<typeof planResult>;
