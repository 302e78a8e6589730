/**
 * Who is in the swarm, how one gets in, and how signed records spread.
 *
 * The roster is a set of entries, each verified when it comes in; who is a member follows from the set (and, for
 * removals, from the clock). Records are the newest signed statement of each key.
 *
 * Invariant: two nodes that have heard the same entries and records hold the same, whatever the order was; nothing
 * that a peer sends makes either go back.
 *
 * It does not open connections, decide who is up, or know what the bodies of heads, maps and live sets mean.
 */
export {
  certifyAnew,
  createSwarm,
  endorse,
  type Invitation,
  invite,
  type NodeDescription,
  removeMember,
  withdraw,
} from "./administer.ts";
export type { AdministratorSet } from "./authority.ts";
export { compareForReplay, ROSTER_ENTRIES_MAX, type RosterBook, replayRank } from "./book.ts";
export { decisionOf, type ProposalStanding, signProposal, standingOf } from "./council.ts";
export type { PendingChange, PendingDecision, PendingRemoval } from "./decisions.ts";
export {
  type CertificateEntry,
  type DelegationEntry,
  decodeEntry,
  type GenesisEntry,
  type RemovalEntry,
  type RosterEntry,
  type RotationEntry,
  signRotation,
} from "./entry.ts";
export { ItemSet, type SetItem } from "./item-set.ts";
export { type Admission, type JoinInit, joinSwarm, verifyRoster } from "./join.ts";
export { admitNewcomer, type DoorComponents, JOIN_ANSWER_BYTES_MAX } from "./join-door.ts";
export {
  type Approval,
  type Deed,
  type Proposal,
  proposalId,
  purposeOf,
  readApproval,
  readProposal,
} from "./proposals.ts";
export type { RecordChange } from "./record-disk.ts";
export {
  DEFAULT_RECORD_RULES,
  RECORD_TYPES,
  type RecordRule,
  type RecordRules,
  type RecordType,
} from "./record-rules.ts";
export type { RecordFilter, RecordView } from "./record-view.ts";
export {
  type Fork,
  type PutOutcome,
  type RecordKey,
  RecordStore,
} from "./records.ts";
export { recoverCertificate, recoverHello, recoveringOwner, submitRecovered } from "./recovery-door.ts";
export { faultOf, refusalOf } from "./refusal.ts";
export {
  type AdministratorsFork,
  type ApplyOutcome,
  Roster,
  type RosterChange,
  type RosterComponents,
} from "./roster.ts";
export { collectPages, rosterPage } from "./roster-pages.ts";
export { CLOCK_SKEW_MS } from "./rules.ts";
export { checkSiteName } from "./site.ts";
export { changeAdministrators, type Succession } from "./succession.ts";
export { type SyncComponents, type SyncInit, SyncService } from "./sync.ts";
export { encodeToken, guestSeed, guestSigner, parseToken, type TokenContent, tokenId } from "./token.ts";
export { FORMAT_VERSIONS, type FormatVersions, type Writable, writableVersion } from "./versions.ts";
export { type FormerMember, type Member, type RosterView, viewOf } from "./view.ts";
