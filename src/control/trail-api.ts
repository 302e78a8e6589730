import { z } from "zod";

/** The audit trail of the own repository. */

const count = z.int().nonnegative();

export const logRequest = z
  .object({
    /** The newest so many; absent: all. */
    limit: count.optional(),
    /** With each entry as it was signed. */
    signed: z.boolean(),
  })
  .strict();
export type LogRequest = z.infer<typeof logRequest>;

export const trailEntryInfo = z.object({
  sequence: count,
  time: z.string(),
  what: z.string(),
  details: z.record(z.string(), z.string()),
  /** The node that did it. */
  peerId: z.string(),
  /** As the roster names it, if it does. */
  name: z.string().optional(),
  incarnation: z.string(),
  hash: z.string(),
  /** Base64url. */
  signed: z.string().optional(),
});
export type TrailEntryInfo = z.infer<typeof trailEntryInfo>;

export const logResult = z.object({
  swarmId: z.string(),
  ownerId: z.string(),
  entries: z.array(trailEntryInfo),
  total: count,
  /** What was changed, taken out or put in. */
  problems: z.array(z.object({ sequence: count, reason: z.string() })),
  /** Pages that lie with other nodes and cannot be read now. */
  missing: z.array(z.object({ from: count, entries: count, reason: z.string() })),
  /** The last entry that the newest head holds: later ones are on this machine alone. */
  spreadTo: count,
});
export type LogResult = z.infer<typeof logResult>;
