import type { z } from "zod";
import * as admin from "./admin-api.ts";
import * as audit from "./audit-api.ts";
import * as heirs from "./heirs-api.ts";
import * as plan from "./plan-api.ts";
import * as policy from "./policy-api.ts";
import * as presence from "./presence-api.ts";
import * as pruning from "./prune-api.ts";
import * as repair from "./repair-api.ts";
import * as requests from "./requests.ts";
import * as results from "./results.ts";
import * as rotation from "./rotation-api.ts";
import * as scrub from "./scrub-api.ts";
import * as trail from "./trail-api.ts";
import { type UsageResult, usageResult } from "./usage-api.ts";

export type * from "./admin-api.ts";
export type { AuditedHolder, AuditResult } from "./audit-api.ts";
export type * from "./heirs-api.ts";
export * from "./paths-json.ts";
export type * from "./plan-api.ts";
export type * from "./policy-api.ts";
export type * from "./presence-api.ts";
export type { PruneResult, ReleaseResult } from "./prune-api.ts";
export type * from "./repair-api.ts";
export type * from "./requests.ts";
export * from "./results.ts";
export type * from "./scrub-api.ts";
export type { UsageResult } from "./usage-api.ts";

export interface CommandContext {
  /** Aborts when the client went away or was interrupted; its reason is a `Fault` INTERRUPTED. */
  readonly signal: AbortSignal;
  /** Never blocks: of events faster than the client reads, the newest counts. */
  progress(event: results.ProgressEvent): void;
}

/**
 * Everything that can be asked of a daemon. The daemon implements it, the client offers it, so that whoever
 * uses one can be tested with the other. Each method returns its result or throws a `Fault`.
 *
 * Those that list (ls, find, diff, shards) and `cat` are async generators: they yield entries or bytes, as slowly as
 * the reader takes them, and return the summary. When the reader leaves, `return` is called on them.
 */
export interface ControlHandlers {
  status(request: requests.EmptyRequest, context: CommandContext): Promise<results.StatusResult>;
  peers(request: requests.EmptyRequest, context: CommandContext): Promise<results.PeersResult>;
  invite(request: requests.InviteRequest, context: CommandContext): Promise<results.InviteResult>;
  remove(request: admin.RemoveRequest, context: CommandContext): Promise<admin.DecisionResult>;
  siteMove(request: admin.SiteMoveRequest, context: CommandContext): Promise<admin.DecisionResult>;
  adminConfirm(request: admin.ConfirmRequest, context: CommandContext): Promise<admin.ConfirmResult>;
  adminList(request: requests.EmptyRequest, context: CommandContext): Promise<admin.AdminListResult>;
  /** Throws what any decision of this node's administrator would throw: where it has no key, or is fenced. */
  adminKey(request: requests.EmptyRequest, context: CommandContext): Promise<admin.AdminKeyResult>;
  adminAdd(request: admin.AdminRequest, context: CommandContext): Promise<admin.AdminChangeResult>;
  adminRemove(request: admin.AdminRequest, context: CommandContext): Promise<admin.AdminChangeResult>;
  adminThreshold(request: admin.ThresholdRequest, context: CommandContext): Promise<admin.ThresholdResult>;
  adminPending(request: requests.EmptyRequest, context: CommandContext): Promise<admin.AdminPendingResult>;
  adminVote(request: admin.VoteRequest, context: CommandContext): Promise<admin.VoteResult>;
  /** What a replacement of the recovery key has to say; throws where this node may not replace it. */
  keyBasis(request: requests.EmptyRequest, context: CommandContext): Promise<rotation.RotationBasisResult>;
  keyRotate(request: rotation.RotateRequest, context: CommandContext): Promise<rotation.RotateResult>;
  quota(request: admin.QuotaRequest, context: CommandContext): Promise<admin.QuotaResult>;
  snapshot(request: requests.SnapshotRequest, context: CommandContext): Promise<results.SnapshotResult>;
  /** Of a set of the policy, with its hooks. */
  snapshotSet(request: policy.SnapshotSetRequest, context: CommandContext): Promise<results.SnapshotResult>;
  usage(request: requests.EmptyRequest, context: CommandContext): Promise<UsageResult>;
  /** Forgets, or says what would be forgotten, and why. */
  forget(request: policy.ForgetRequest, context: CommandContext): Promise<policy.ForgetResult>;
  /** The audit trail; fetches what a recovered home does not have yet. */
  log(request: trail.LogRequest, context: CommandContext): Promise<trail.LogResult>;
  /** Gives up what no snapshot needs, or says what that would be. */
  prune(request: pruning.PruneRequest, context: CommandContext): Promise<pruning.PruneResult>;
  release(request: pruning.ReleaseRequest, context: CommandContext): Promise<pruning.ReleaseResult>;
  pin(request: policy.PinRequest, context: CommandContext): Promise<policy.PinResult>;
  /** Somebody has looked at a snapshot that was marked. */
  unmark(request: policy.UnmarkRequest, context: CommandContext): Promise<policy.UnmarkResult>;
  policyShow(request: requests.EmptyRequest, context: CommandContext): Promise<policy.PolicyResult>;
  /** Throws POLICY_INVALID, and changes nothing then. */
  policySet(request: policy.PolicySetRequest, context: CommandContext): Promise<policy.PolicyResult>;
  /** `body` throws (and does not end) when the client went away before it had sent everything. */
  snapshotStdin(
    request: requests.SnapshotStdinRequest,
    context: CommandContext,
    body: AsyncIterable<Uint8Array>,
  ): Promise<results.SnapshotResult>;
  snapshots(request: requests.SnapshotsRequest, context: CommandContext): Promise<results.SnapshotsResult>;
  ls(
    request: requests.LsRequest,
    context: CommandContext,
  ): AsyncGenerator<results.EntryInfo, results.LsResult, void>;
  find(
    request: requests.FindRequest,
    context: CommandContext,
  ): AsyncGenerator<results.FoundEntry, results.FindResult, void>;
  diff(
    request: requests.DiffRequest,
    context: CommandContext,
  ): AsyncGenerator<results.DiffEntry, results.DiffResult, void>;
  cat(
    request: requests.CatRequest,
    context: CommandContext,
  ): AsyncGenerator<Uint8Array, results.CatResult, void>;
  restore(request: requests.RestoreRequest, context: CommandContext): Promise<results.RestoreResult>;
  verify(request: requests.VerifyRequest, context: CommandContext): Promise<results.VerifyResult>;
  scrub(request: scrub.ScrubRequest, context: CommandContext): Promise<scrub.ScrubResult>;
  shards(
    request: scrub.ShardsRequest,
    context: CommandContext,
  ): AsyncGenerator<scrub.ShardInfo, scrub.ShardsResult, void>;
  /** Moves what this node holds elsewhere, so that it can leave. */
  drain(request: heirs.DrainRequest, context: CommandContext): Promise<heirs.DrainResult>;
  /** Tells the swarm that this node will be off for a while. */
  maintenance(
    request: presence.MaintenanceRequest,
    context: CommandContext,
  ): Promise<presence.MaintenanceResult>;
  audit(request: audit.AuditRequest, context: CommandContext): Promise<audit.AuditResult>;
  plan(request: plan.PlanRequest, context: CommandContext): Promise<plan.PlanResult>;
  repair(request: repair.RepairRequest, context: CommandContext): Promise<repair.RepairResult>;
  /** Answers at once; the daemon then stops as on SIGTERM. */
  shutdown(request: requests.EmptyRequest, context: CommandContext): Promise<results.ShutdownResult>;
}

/** How one command travels: what it takes, what each line of its answer is, what it returns. */
export interface CommandShape {
  readonly request: z.ZodType;
  /** Of those that list: each entry. `cat` yields bytes instead. */
  readonly item?: z.ZodType;
  readonly result: z.ZodType;
}

export const COMMANDS = {
  status: { request: requests.emptyRequest, result: results.statusResult },
  peers: { request: requests.emptyRequest, result: results.peersResult },
  invite: { request: requests.inviteRequest, result: results.inviteResult },
  remove: { request: admin.removeRequest, result: admin.decisionResult },
  siteMove: { request: admin.siteMoveRequest, result: admin.decisionResult },
  adminConfirm: { request: admin.confirmRequest, result: admin.confirmResult },
  adminList: { request: requests.emptyRequest, result: admin.adminListResult },
  adminKey: { request: requests.emptyRequest, result: admin.adminKeyResult },
  adminAdd: { request: admin.adminRequest, result: admin.adminChangeResult },
  adminRemove: { request: admin.adminRequest, result: admin.adminChangeResult },
  adminThreshold: { request: admin.thresholdRequest, result: admin.thresholdResult },
  adminPending: { request: requests.emptyRequest, result: admin.adminPendingResult },
  adminVote: { request: admin.voteRequest, result: admin.voteResult },
  keyBasis: { request: requests.emptyRequest, result: rotation.rotationBasisResult },
  keyRotate: { request: rotation.rotateRequest, result: rotation.rotateResult },
  quota: { request: admin.quotaRequest, result: admin.quotaResult },
  snapshot: { request: requests.snapshotRequest, result: results.snapshotResult },
  snapshotSet: { request: policy.snapshotSetRequest, result: results.snapshotResult },
  usage: { request: requests.emptyRequest, result: usageResult },
  forget: { request: policy.forgetRequest, result: policy.forgetResult },
  log: { request: trail.logRequest, result: trail.logResult },
  prune: { request: pruning.pruneRequest, result: pruning.pruneResult },
  release: { request: pruning.releaseRequest, result: pruning.releaseResult },
  pin: { request: policy.pinRequest, result: policy.pinResult },
  unmark: { request: policy.unmarkRequest, result: policy.unmarkResult },
  policyShow: { request: requests.emptyRequest, result: policy.policyResult },
  policySet: { request: policy.policySetRequest, result: policy.policyResult },
  snapshotStdin: { request: requests.snapshotStdinRequest, result: results.snapshotResult },
  snapshots: { request: requests.snapshotsRequest, result: results.snapshotsResult },
  ls: { request: requests.lsRequest, item: results.entryInfo, result: results.lsResult },
  find: { request: requests.findRequest, item: results.foundEntry, result: results.findResult },
  diff: { request: requests.diffRequest, item: results.diffEntry, result: results.diffResult },
  cat: { request: requests.catRequest, result: results.catResult },
  restore: { request: requests.restoreRequest, result: results.restoreResult },
  verify: { request: requests.verifyRequest, result: results.verifyResult },
  scrub: { request: scrub.scrubRequest, result: scrub.scrubResult },
  shards: { request: scrub.shardsRequest, item: scrub.shardInfo, result: scrub.shardsResult },
  maintenance: { request: presence.maintenanceRequest, result: presence.maintenanceResult },
  drain: { request: heirs.drainRequest, result: heirs.drainResult },
  audit: { request: audit.auditRequest, result: audit.auditResult },
  plan: { request: plan.planRequest, result: plan.planResult },
  repair: { request: repair.repairRequest, result: repair.repairResult },
  shutdown: { request: requests.emptyRequest, result: results.shutdownResult },
} as const satisfies Record<keyof ControlHandlers, CommandShape>;
