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
  /** What was taken back. */
  withdrawn: z.array(pendingDecision),
});
export type DecisionResult = z.infer<typeof decisionResult>;

export const confirmResult = z.object({ peerId: z.string(), name: z.string(), site: z.string() });
export type ConfirmResult = z.infer<typeof confirmResult>;
