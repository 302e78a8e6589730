import { z } from "zod";
import { DAY_MS, KIB } from "../base/units.ts";
import { bytesOf, bytesUpTo, codec, count } from "./codec.ts";
import { ENTRY_BYTES_MAX } from "./membership.ts";

/**
 * Bodies of the records by which administrators gather each other's signatures. Where one signature is enough, none of
 * this is used.
 */

/** What one administrator may have under way at a time, and sign at a time: each has a slot, which a new one takes over. */
export const PROPOSAL_SLOTS = 16;
export const APPROVAL_SLOTS = 64;
/** A token of 256 uses; a change of the administrators has at most 64 lists. */
export const PROPOSED_ENTRIES_MAX = 256;
export const PROPOSAL_BYTES_MAX = 320 * KIB;
/** 256 delegations take three endorsements. */
export const APPROVAL_ENDORSEMENTS_MAX = 4;
export const APPROVAL_BYTES_MAX = 20 * KIB;
/** Nothing waits longer for signatures, whatever it says of itself. */
export const PROPOSAL_KEPT_MAX_MS = 31 * DAY_MS;

const times = {
  issuedMs: count,
  /** Signatures that come later are not counted. */
  expiresMs: count,
  /** The record is kept so long: not shorter than what was in the slot before, so that this cannot come back. */
  keptMs: count,
};

const proposalSchema = z
  .object({
    v: z.literal(1),
    slot: z
      .int()
      .min(0)
      .max(PROPOSAL_SLOTS - 1),
    /** Roster entries, each signed by the record's signer alone, in the order in which they apply; none: taken back. */
    entries: z.array(bytesUpTo(ENTRY_BYTES_MAX)).max(PROPOSED_ENTRIES_MAX),
    ...times,
  })
  .strict();
export type ProposalBody = z.output<typeof proposalSchema>;
export const proposalBody = codec("proposal", proposalSchema);

const approvalSchema = z
  .object({
    v: z.literal(1),
    slot: z
      .int()
      .min(0)
      .max(APPROVAL_SLOTS - 1),
    /** The proposal's id. */
    proposal: bytesOf(32),
    /** `none`: neither any more. */
    verdict: z.enum(["signed", "refused", "none"]),
    /** Signed, of anything but a change of the administrators: roster entries that endorse what is proposed. */
    endorsements: z.array(bytesUpTo(ENTRY_BYTES_MAX)).max(APPROVAL_ENDORSEMENTS_MAX),
    /** Signed, of a change of the administrators: over the change itself. */
    signature: bytesOf(64).exactOptional(),
    ...times,
  })
  .strict();
export type ApprovalBody = z.output<typeof approvalSchema>;
export const approvalBody = codec("approval", approvalSchema);
