import { z } from "zod";

const count = z.int().nonnegative();

/** Whole segments, and their shards at holders, metadata and padding included. */
const storedPart = z.object({ segments: count, storedBytes: count });

export const usageResult = z.object({
  /** Sum of the files' bytes of all snapshots. */
  logicalBytes: count,
  /** Plain bytes of all chunks, each once. */
  uniqueBytes: count,
  stored: storedPart,
  /** Needed by more than one snapshot. */
  shared: storedPart,
  /** Needed by no snapshot. */
  unneeded: storedPart,
  /** Given up, and not deleted by holders yet: it takes the quota as before until then. */
  leaving: z.object({ quotaBytes: count }).optional(),
  snapshots: z.array(
    z.object({
      snapshotId: z.string(),
      time: z.string(),
      tags: z.array(z.string()),
      logicalBytes: count,
      /** What only this snapshot needs. */
      own: storedPart,
    }),
  ),
  /** Most first. */
  peers: z.array(
    z.object({
      peerId: z.string(),
      name: z.string().optional(),
      site: z.string().optional(),
      shards: count,
      storedBytes: count,
    }),
  ),
  /** Snapshots whose manifests cannot be read now: what they need is counted as not needed. */
  unread: count,
});
export type UsageResult = z.infer<typeof usageResult>;
