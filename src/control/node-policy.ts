import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { displayPath } from "../base/paths.ts";
import { formatDuration, HOUR_MS } from "../base/units.ts";
import {
  type EffectiveSet,
  type Node,
  type NodeScheduler,
  type RecoveryPoint,
  recoveryPointsOf,
  type SetStanding,
  type Sourced,
  type Tidier,
} from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { continuousAlert, continuousJson, rpoMsOf } from "./node-continuous.ts";
import { iso } from "./node-json.ts";
import { answerSnapshot } from "./node-snapshot.ts";
import { tidyingOf } from "./node-tidying.ts";
import type * as api from "./policy-api.ts";
import type { Alert, SnapshotResult } from "./results.ts";

/** Absent where nothing runs that would look at a policy. */
export function requireScheduler(scheduler: NodeScheduler | undefined): NodeScheduler {
  if (scheduler === undefined) throw new Fault({ code: "UNSUPPORTED", what: "This node has no scheduler." });
  return scheduler;
}

export function policyJson(node: Node, scheduler: NodeScheduler): api.PolicyResult {
  const { standing } = scheduler;
  if (standing.state === "none") return { state: "none", issues: [], sets: [] };
  const issues = standing.state === "invalid" ? standing.issues.map((issue) => ({ ...issue })) : [];
  const sets = standing.sets.map(({ set }) => effectiveJson(set));
  return { state: standing.state, issues, ...uplinkJson(node, scheduler), sets };
}

export async function snapshotSetHandler(
  node: Node,
  scheduler: NodeScheduler,
  request: api.SnapshotSetRequest,
  context: CommandContext,
): Promise<SnapshotResult> {
  return answerSnapshot(node, context, (call) => scheduler.runNow(request.set, call));
}

function effectiveJson(set: EffectiveSet): api.EffectiveSetInfo {
  const { "time-zone": timeZone, ...keep } = set.keep.value;
  const { "time-limit": timeLimitMs, before, after } = set.hooks.value;
  const profile = set.profile.value;
  return {
    set: set.name,
    paths: sourcedJson(set.paths, (paths) => paths.map(displayPath)),
    exclude: set.excludes.map((one) => sourcedJson(one, displayPath)),
    oneFileSystem: sourcedJson(set.oneFileSystem, (value) => value),
    profile: sourcedJson(set.profile, () => (profile === undefined ? "auto" : `${profile.k}+${profile.m}`)),
    tags: sourcedJson(set.tags, (tags) => [...tags]),
    schedule: sourcedJson(set.timing, timingJson),
    continuousMs: sourcedJson(set.continuousMs, (value) => value ?? null),
    keep: sourcedJson(set.keep, () => ({ ...keep, ...(timeZone === undefined ? {} : { timeZone }) })),
    forget: sourcedJson(set.forgets, (value) => value),
    lockMs: sourcedJson(set.lockMs, (value) => value),
    hooks: sourcedJson(set.hooks, () => ({
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
      ...(timeLimitMs === undefined ? {} : { timeLimitMs }),
    })),
    priority: sourcedJson(set.priority, (value) => value),
  };
}

function timingJson(timing: EffectiveSet["timing"]["value"]): api.EffectiveSetInfo["schedule"]["value"] {
  if (timing === undefined) return null;
  const { jitterMs, catchUp } = timing;
  if (timing.kind === "interval") return { everyMs: timing.everyMs, jitterMs, catchUp };
  const { expression: cron, timeZone } = timing;
  return { cron, ...(timeZone === undefined ? {} : { timeZone }), jitterMs, catchUp };
}

function sourcedJson<T, J>(
  { value, from }: Sourced<T>,
  show: (value: T) => J,
): { value: J; from: { level: string; line?: number } } {
  return { value: show(value), from: { ...from } };
}

/** So late a set is before somebody is told: others before it may take long. */
const OVERDUE_MS = HOUR_MS;

/** What `status` says of the policy, and what somebody should look into. */
export async function scheduleStandingOf(
  node: Node,
  scheduler: NodeScheduler | undefined,
  tidier: Tidier | undefined,
): Promise<{ schedule?: api.ScheduleStanding; alerts: Alert[] }> {
  if (scheduler === undefined) return { alerts: [] };
  const { standing } = scheduler;
  if (standing.state === "none") return { schedule: { policy: "none", issues: [], sets: [] }, alerts: [] };
  const nowMs = node.ports.clock.wallMs();
  const points = await recoveryPointsOf(
    node.repository,
    standing.sets.map(({ set }) => set.name),
  );
  const alerts: Alert[] = [];
  const sets: api.SetStandingInfo[] = [];
  for (const one of standing.sets) {
    const info = setJson(one, points.get(one.set.name), nowMs);
    sets.push(info);
    alerts.push(...setAlerts(one, nowMs), ...continuousAlert(info));
  }
  const issues = standing.state === "invalid" ? standing.issues.map((issue) => ({ ...issue })) : [];
  const [first] = issues;
  if (first !== undefined)
    alerts.unshift({
      code: "policy-invalid",
      text: `The policy file is not valid (line ${first.line}: ${first.message}); ${sets.length === 0 ? "no set is saved by itself" : "the one before stays in force"}. "cairn policy check" names everything.`,
    });
  const tidied = tidyingOf(standing, tidier);
  alerts.push(...tidied.alerts);
  const uplink = uplinkJson(node, scheduler);
  return { schedule: { policy: standing.state, issues, ...uplink, sets, ...tidied.standing }, alerts };
}

function uplinkJson(node: Node, scheduler: NodeScheduler): { uplink?: api.UplinkStanding } {
  const { uplink } = scheduler;
  if (uplink === undefined) return {};
  const { waiting } = node.repository.uplink;
  return { uplink: { ...uplink.value, waiting, from: { ...uplink.from } } };
}

function setJson(
  standing: SetStanding,
  point: RecoveryPoint | undefined,
  nowMs: number,
): api.SetStandingInfo {
  const { set, isRunning, dueMs, last } = standing;
  const rpoMs = rpoMsOf(standing, point, nowMs);
  return {
    set: set.name,
    running: isRunning,
    ...(dueMs === undefined ? {} : { next: iso(dueMs) }),
    ...(last === undefined ? {} : { last: runJson(last) }),
    ...(point === undefined
      ? {}
      : { newest: { snapshotId: toHex(point.newest.id), time: iso(point.newest.timeMs) } }),
    ...(rpoMs === undefined ? {} : { rpoMs }),
    ...continuousJson(standing, nowMs),
  };
}

function runJson(last: NonNullable<SetStanding["last"]>): NonNullable<api.SetStandingInfo["last"]> {
  const { startedMs, endedMs, failures, unreadable, snapshot, reason } = last;
  return {
    started: iso(startedMs),
    ended: iso(endedMs),
    outcome: failures === 0 ? "done" : "failed",
    ...(snapshot === undefined ? {} : { snapshotId: toHex(snapshot) }),
    failures,
    unreadable,
    ...(reason === undefined ? {} : { reason }),
  };
}

function setAlerts({ set, isRunning, dueMs, last }: SetStanding, nowMs: number): Alert[] {
  const alerts: Alert[] = [];
  if (last !== undefined && last.failures > 0) {
    const tries = last.failures === 1 ? "once" : `${last.failures} times in a row`;
    alerts.push({
      code: "set-failing",
      text: `Set ${set.name} could not be saved, ${tries}: ${last.reason ?? "unknown"} It is tried again by itself.`,
    });
  } else if (last?.reason !== undefined) {
    alerts.push({ code: "hook-failed", text: `Set ${set.name}: ${last.reason}.` });
  }
  if (!isRunning && dueMs !== undefined && nowMs - dueMs > OVERDUE_MS)
    alerts.push({
      code: "set-overdue",
      text: `Set ${set.name} should have been saved ${formatDuration(nowMs - dueMs)} ago, and has not begun.`,
    });
  return alerts;
}
