import { z } from "zod";

const count = z.int().min(0);

/** How a snapshot is locked at its holders. */
export const lockInfo = z.object({
  /** `locked`: every holder that the map names has acknowledged that it keeps all that it has of it. */
  state: z.enum(["locked", "locking"]),
  /** Of `locked`: the earliest end, as of this machine's clock; the holders count by their own running time, which is never ahead. */
  until: z.string().optional(),
  holders: count,
  acknowledged: count,
});
export type LockInfo = z.infer<typeof lockInfo>;

export const locksStanding = z.object({
  /** Own snapshots. */
  locked: count,
  locking: count,
  /** Segments of others that this node keeps for the sake of a lock, as of its last look, within the hour. */
  heldSegments: count,
});
export type LocksStanding = z.infer<typeof locksStanding>;
