/**
 * The node core: builds the services of one member from a set of ports, starts and stops them, and answers peers. It
 * knows no socket, file or process; the daemon and the simulator give it theirs.
 */

export type { HolderAudit } from "../audit/index.ts";
export type { SnapshotEntry } from "../catalog/index.ts";
export { checkTrail, readTrailEntry } from "../catalog/index.ts";
export type { ProtectionReport } from "../exchange/index.ts";
export type { LockStanding } from "../locks/index.ts";
export type {
  AdministratorsFork,
  Deed,
  Member,
  PendingDecision,
  Proposal,
  ProposalStanding,
  RosterEntry,
} from "../membership/index.ts";
export { parseProfile, type Survival } from "../placement/index.ts";
export type { EffectiveSet, Keep, Sourced } from "../policy/index.ts";
export type { Census as RepairCensus, RepairStanding as OwnerRepairStanding } from "../repair/index.ts";
export type { Difference, PlacedEntry, RestoreReport } from "../restore/index.ts";
export type { PolicyStanding, SetStanding, Tidier, TidyStanding } from "../schedule/index.ts";
export type { ScrubInit } from "../scrub/index.ts";
export type { TrustStanding, Word } from "../trust/index.ts";
export { parseUpkeep } from "../upkeep/index.ts";
export { Administration, type Cancelled, type Decided } from "./administration.ts";
export {
  type AdministratorStanding,
  Administrators,
  type AdministratorsChanged,
  type ThresholdChanged,
} from "./administrators.ts";
export { joinAgain, joinedAgain, pendingSnapshots, replaceRepository } from "./adoption.ts";
export type { Cleared } from "./audits.ts";
export {
  catFile,
  diffSnapshots,
  findEntries,
  listEntries,
  type OwnerNames,
  ownerNames,
  pathsOf,
} from "./browse.ts";
export { emptyCatalog, type Imported, importCatalog } from "./catalog-import.ts";
export { chooseSnapshot, narrowSnapshots, type SnapshotChoice } from "./choose-snapshot.ts";
export { findMember } from "./find-member.ts";
export { type Founded, type FoundingComponents, foundSwarm, joinExisting } from "./founding.ts";
export {
  type Identity,
  type IdentitySecrets,
  identityOf,
  newIdentity,
  newOwnerSecrets,
} from "./identity.ts";
export { type Mark, marksOf } from "./marks.ts";
export { type Disputes, Node, type NodeInit } from "./node.ts";
export type { NodeStanding } from "./node-standing.ts";
export type { OlderHead, RescuedSnapshot } from "./older-heads.ts";
export { planRemovalOf } from "./owner-repair.ts";
export { HIDDEN_TAG_PREFIX, isPinned, OWN_TAG_PREFIXES, PIN_TAG } from "./pins.ts";
export { DEFAULT_SIZES, NAMESPACE, type NodePorts, type RepositorySizes } from "./ports.ts";
export { type Deciding, PROPOSAL_EXPIRES_MS } from "./proposals.ts";
export { type PoolFindings, Recovery, type SilentMember } from "./recovery.ts";
export { type FoundHead, forksOf, pickHead } from "./recovery-heads.ts";
export { type FoundSnapshot, foundSnapshots } from "./recovery-standing.ts";
export { viewOfAnswers } from "./recovery-view.ts";
export { Repository, type RestoreRequest, type SnapshotRequest, type SnapshotResult } from "./repository.ts";
export { forget, planAsked, planRetention, type RetentionPlan } from "./retention.ts";
export { makeRotation } from "./rotation.ts";
export { type NodeScheduler, type RecoveryPoint, recoveryPointsOf, schedulerOf } from "./scheduling.ts";
export { makeSlot, openSlot, readSlot, type SlotContent } from "./slot.ts";
export { type PeerStanding, peersOf, type RepositoryStanding, repositoryStanding } from "./standing.ts";
export { RosterView } from "./swarm-view.ts";
export { tidierOf } from "./tidying.ts";
export { readTrail } from "./trail-log.ts";
export { type RepositoryUsage, usageOf } from "./usage.ts";
