import { z } from "zod";

const count = z.int().nonnegative();

export const pruneRequest = z.object({ dryRun: z.boolean() }).strict();
export type PruneRequest = z.infer<typeof pruneRequest>;

export const pruneResult = z.object({
  dryRun: z.boolean(),
  /** Segments that nothing needs any more. */
  segments: count,
  /** Their shards: what holders delete, 16 days later. */
  freedBytes: count,
  /** What is still read of these was copied into new segments first, or would be. */
  copied: z.object({ segments: count, aliveBytes: count }),
  kept: z.object({ segments: count, storedBytes: count }),
  /** The newest live set: who has it. Absent before the first. */
  liveSet: z.object({ epoch: count, time: z.string(), holders: count, missing: count }).optional(),
});
export type PruneResult = z.infer<typeof pruneResult>;

export const releaseRequest = z.object({ peer: z.string().min(1).max(255) }).strict();
export type ReleaseRequest = z.infer<typeof releaseRequest>;

export const releaseResult = z.object({
  peerId: z.string(),
  name: z.string(),
  owner: z.string(),
  until: z.string(),
  /** As many administrators as have to have said it. */
  inForce: z.boolean(),
});
export type ReleaseResult = z.infer<typeof releaseResult>;
