import { z } from "zod";

/** What administrators decide about members: requests and results. */

const count = z.int().nonnegative();
const isoTime = z.string();
/** A name, a peer id, or a unique beginning of one. */
const peer = z.string().min(1).max(255);

export const removeRequest = z
  .object({
    peer,
    reason: z.string().max(200),
    /** Its recovery key brings it back no more. */
    barsOwner: z.boolean(),
    /** Take back what is waiting instead. */
    cancel: z.boolean(),
  })
  .strict();
export type RemoveRequest = z.infer<typeof removeRequest>;

export const siteMoveRequest = z
  .object({
    peer,
    /** Absent with `cancel`. */
    site: z.string().min(1).max(64).optional(),
    cancel: z.boolean(),
  })
  .strict();
export type SiteMoveRequest = z.infer<typeof siteMoveRequest>;

export const confirmRequest = z.object({ peer }).strict();
export type ConfirmRequest = z.infer<typeof confirmRequest>;

export const adminRequest = z
  .object({
    /** Of a member, or for removing also the beginning of an administrator's key in hex. */
    peer,
  })
  .strict();
export type AdminRequest = z.infer<typeof adminRequest>;

export const adminInfo = z.object({
  /** Public key, hex. */
  key: z.string(),
  since: isoTime,
  /** Whether this node has it. */
  self: z.boolean(),
  /** The member that says that it has it; absent where none does. */
  peerId: z.string().optional(),
  name: z.string().optional(),
  site: z.string().optional(),
});
export type AdminInfo = z.infer<typeof adminInfo>;

export const adminListResult = z.object({
  /** The longest-serving first. */
  administrators: z.array(adminInfo),
  /** How many of them must sign. */
  threshold: count,
  /** How often the administrators were changed. */
  number: count,
});
export type AdminListResult = z.infer<typeof adminListResult>;

export const adminChangeResult = z.object({
  key: z.string(),
  /** `known`: nothing had to be done. */
  outcome: z.enum(["added", "removed", "known"]),
  /** How many there are now. */
  administrators: count,
});
export type AdminChangeResult = z.infer<typeof adminChangeResult>;

/** What administrators have decided and what has not come into effect yet. */
export const pendingDecision = z.object({
  /** Of the entry of the roster that says so. */
  id: z.string(),
  kind: z.enum(["removal", "site-move", "certificate"]),
  peerId: z.string(),
  name: z.string(),
  announcedAt: isoTime,
  effectiveAt: isoTime,
  /** How many administrators stand behind it. */
  signatures: count,
  /** Of a removal. */
  reason: z.string().optional(),
  barsOwner: z.boolean().optional(),
  /** Of a change of site. */
  from: z.string().optional(),
  to: z.string().optional(),
});
export type PendingDecisionInfo = z.infer<typeof pendingDecision>;

export const decisionResult = z.object({
  peerId: z.string(),
  name: z.string(),
  /** Where it is now. */
  site: z.string(),
  /** `confirmed`: another administrator had announced it. `known`: this one had said so before. */
  outcome: z.enum(["announced", "confirmed", "known", "cancelled"]),
  inEffect: z.boolean(),
  /** What is still to come. */
  pending: pendingDecision.optional(),
  /** Of a node that is removed: the administrator's key that it has and that still counts. */
  administratorKey: z.string().optional(),
  /** What was taken back. */
  withdrawn: z.array(pendingDecision),
});
export type DecisionResult = z.infer<typeof decisionResult>;

export const confirmResult = z.object({ peerId: z.string(), name: z.string(), site: z.string() });
export type ConfirmResult = z.infer<typeof confirmResult>;
