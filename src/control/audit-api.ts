import { z } from "zod";
import { trustInfo } from "./trust-api.ts";

const count = z.int().nonnegative();
const isoTime = z.string();
const HOLDERS_MAX = 10_000;

export const auditRequest = z
  .object({
    /** One round now, instead of what is known. */
    now: z.boolean(),
    /** A suspect peer to be trusted again: name, id or the beginning of one. */
    clear: z.string().min(1).max(64).optional(),
  })
  .strict();
export type AuditRequest = z.infer<typeof auditRequest>;

export const auditedHolder = z.object({
  peerId: z.string(),
  name: z.string().optional(),
  /** Leaves: of this round with `now`, else since this home began to audit. */
  asked: count,
  proven: count,
  /** Not answered in time: asked for again, and held against nobody. */
  late: count,
  /** The holder said, signed, that it does not have them. */
  missing: count,
  /** The holder answered with something else. */
  wrong: count,
  lastAsked: isoTime.optional(),
  lastProven: isoTime.optional(),
  /** Leaves that it was asked for and has not answered. */
  pending: count,
  /** Why the last audit was not answered. */
  problem: z.string().optional(),
  /** It gets no new data, and what it has counts as absent. */
  suspect: z.object({ since: isoTime, reason: z.string() }).optional(),
  /** How far it is believed and who says so; absent where nobody says anything. */
  trust: trustInfo.optional(),
  /** Ids of convictions kept: proof, by its own signatures, that it lost or altered a shard. */
  evidence: z.array(z.string()),
});
export type AuditedHolder = z.infer<typeof auditedHolder>;

export const auditResult = z.object({
  /** Leaves asked for. */
  scanned: count,
  /** Leaves that were missing or wrong. */
  corrupt: count,
  /** An audit sets nothing aside and repairs nothing: these two are 0. */
  quarantined: count,
  repaired: count,
  /** Leaves that came over the network, of this round. */
  bytesMoved: count,
  now: z.boolean(),
  suspects: count,
  holders: z.array(auditedHolder).max(HOLDERS_MAX),
  /** With `clear`: whether this node's own audits had made it suspect. */
  cleared: z.boolean().optional(),
  /** With `clear`: whether this node's administrator has told the swarm so. */
  clearedForAll: z.boolean().optional(),
});
export type AuditResult = z.infer<typeof auditResult>;
