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
  /** Changes in the last 30 days beside which another one with the same number counts here. */
  forks: z
    .array(
      z.object({
        number: count,
        seenAt: isoTime,
        /** Public keys, hex: whom it would have made administrators, and who signed it. */
        administrators: z.array(z.string()),
        threshold: count,
        signedBy: z.array(z.string()),
        /** Nodes that heard of it in time go by it, and not by what counts here. */
        apart: z.boolean(),
      }),
    )
    .default([]),
});
export type AdminForkInfo = z.infer<typeof adminListResult>["forks"][number];
export type AdminListResult = z.infer<typeof adminListResult>;

const voter = z.object({
  /** Public key, hex. */
  key: z.string(),
  /** Of the member that says that it has it. */
  name: z.string().optional(),
});

/** What an administrator proposes and several have to sign. Nothing of it is in effect. */
export const proposalInfo = z.object({
  id: z.string(),
  kind: z.enum(["removal", "certificate", "withdrawal", "invitation", "administrators"]),
  /** What it does, in plain words. */
  text: z.string(),
  /**
   * `open`: signatures are missing. `complete`: is being put into effect. `done`: decided. `outdated`: cannot be decided
   * any more, for the reason in `why`. `expired`: too late.
   */
  state: z.enum(["open", "complete", "done", "outdated", "expired"]),
  why: z.string().optional(),
  /** The first of them proposed it. */
  signedBy: z.array(voter),
  refusedBy: z.array(voter),
  /** How many more must sign. */
  missing: count,
  /** Whether this node's administrator has signed. */
  signedHere: z.boolean(),
  proposedAt: isoTime,
  expiresAt: isoTime,
});
export type ProposalInfo = z.infer<typeof proposalInfo>;

export const adminChangeResult = z.object({
  key: z.string(),
  /** `known`: nothing had to be done. `proposed`, `signed`: see `proposal`. */
  outcome: z.enum(["added", "removed", "known", "proposed", "signed"]),
  /** How many there are now. */
  administrators: count,
  /** Where several administrators must sign. */
  proposal: proposalInfo.optional(),
});
export type AdminChangeResult = z.infer<typeof adminChangeResult>;

export const adminKeyResult = z.object({
  /** Public key, hex, with which this node signs as an administrator. */
  key: z.string(),
});
export type AdminKeyResult = z.infer<typeof adminKeyResult>;

/** What administrators have decided and what has not come into effect yet. */
export const pendingDecision = z.object({
  /** Of the entry of the roster that says so. */
  id: z.string(),
  kind: z.enum(["removal", "site-move", "certificate"]),
  peerId: z.string(),
  name: z.string(),
  announcedAt: isoTime,
  effectiveAt: isoTime,
  /** From now until then, by the daemon's clock. */
  waitsMs: count.optional(),
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
  outcome: z.enum(["announced", "confirmed", "known", "cancelled", "proposed", "signed"]),
  /** Where several administrators must sign. */
  proposal: proposalInfo.optional(),
  inEffect: z.boolean(),
  /** What is still to come. */
  pending: pendingDecision.optional(),
  /** Of a node that is removed: the administrator's key that it has and that still counts. */
  administratorKey: z.string().optional(),
  /** What was taken back. */
  withdrawn: z.array(pendingDecision),
});
export type DecisionResult = z.infer<typeof decisionResult>;

export const confirmResult = z.object({
  peerId: z.string(),
  name: z.string(),
  site: z.string(),
  /** Whether it keeps shards of others now. */
  holder: z.boolean(),
  /** Where several administrators must sign. */
  proposal: proposalInfo.optional(),
});
export type ConfirmResult = z.infer<typeof confirmResult>;

export const thresholdRequest = z.object({ threshold: z.int().min(1).max(1000) }).strict();
export type ThresholdRequest = z.infer<typeof thresholdRequest>;

export const thresholdResult = z.object({
  /** In force now. */
  threshold: count,
  administrators: count,
  proposal: proposalInfo.optional(),
});
export type ThresholdResult = z.infer<typeof thresholdResult>;

export const quotaRequest = z
  .object({
    peer,
    /** Absent: without bound. */
    quotaBytes: z.int().positive().optional(),
  })
  .strict();
export type QuotaRequest = z.infer<typeof quotaRequest>;

export const quotaResult = z.object({
  peerId: z.string(),
  name: z.string(),
  outcome: z.enum(["changed", "known", "proposed", "signed"]),
  /** In force now; absent: without bound. */
  quotaBytes: count.optional(),
  proposal: proposalInfo.optional(),
});
export type QuotaResult = z.infer<typeof quotaResult>;

export const adminPendingResult = z.object({
  /** What waits for signatures, the oldest first. */
  proposals: z.array(proposalInfo),
  /** What is decided and waits for its day. */
  decisions: z.array(pendingDecision),
  threshold: count,
  administrators: count,
});
export type AdminPendingResult = z.infer<typeof adminPendingResult>;

export const voteRequest = z
  .object({
    /** Of a proposal or of a decision that waits, or a unique beginning of one. */
    id: z.string().regex(/^[0-9a-fA-F]{1,64}$/),
    vote: z.enum(["sign", "refuse", "withdraw"]),
  })
  .strict();
export type VoteRequest = z.infer<typeof voteRequest>;

export const voteResult = z.object({
  id: z.string(),
  vote: z.enum(["sign", "refuse", "withdraw"]),
  /** Whether this administrator had said so before. */
  known: z.boolean(),
  /** Absent for a decision that waits for its day. */
  proposal: proposalInfo.optional(),
  /** What was voted on, if it was such a decision. */
  decision: pendingDecision.optional(),
  /** Whether what was decided is in effect now (signed), or taken back (refused, withdrawn). */
  inEffect: z.boolean(),
});
export type VoteResult = z.infer<typeof voteResult>;
