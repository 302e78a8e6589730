import type { PolicyStanding, Tidier, TidyStanding } from "../node/index.ts";
import { iso } from "./node-json.ts";
import type { TidyStandingInfo } from "./policy-api.ts";
import type { Alert } from "./results.ts";

/** A failure or two may be a peer that is away; from then on somebody should look. */
const FAILURES_TOLD = 3;

/** What the daemon forgets and prunes by itself, and why it does not. */
export function tidyingOf(
  policy: PolicyStanding,
  tidier: Tidier | undefined,
): { standing: { tidying?: TidyStandingInfo }; alerts: Alert[] } {
  const standing = tidier?.standing(policy);
  if (standing === undefined) return { standing: {}, alerts: [] };
  return { standing: { tidying: standingJson(standing) }, alerts: alertsOf(standing) };
}

function standingJson({ sets, forget, prune }: TidyStanding): TidyStandingInfo {
  const { last: forgot } = forget;
  const { last: pruned } = prune;
  return {
    sets: [...sets],
    forget: {
      next: iso(forget.nextMs),
      ...(forgot === undefined
        ? {}
        : {
            last: {
              ...runJson(forgot),
              ...{ kept: forgot.kept, forgotten: forgot.forgotten },
              ...(forgot.held === undefined ? {} : { held: forgot.held }),
            },
          }),
    },
    prune: {
      next: iso(prune.nextMs),
      ...(pruned === undefined
        ? {}
        : { last: { ...runJson(pruned), segments: pruned.segments, freedBytes: pruned.bytes } }),
    },
  };
}

interface Run {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly failures: number;
  readonly reason?: string;
}

function runJson({ startedMs, endedMs, failures, reason }: Run) {
  return {
    started: iso(startedMs),
    ended: iso(endedMs),
    outcome: failures === 0 ? ("done" as const) : ("failed" as const),
    ...(reason === undefined ? {} : { reason }),
  };
}

function alertsOf({ forget, prune }: TidyStanding): Alert[] {
  const alerts: Alert[] = [];
  const { last: forgot } = forget;
  const { last: pruned } = prune;
  if (forgot !== undefined && forgot.failures >= FAILURES_TOLD)
    alerts.push({
      code: "retention-failing",
      text: `What the policy does not keep could not be forgotten, ${forgot.failures} times in a row: ${forgot.reason ?? "unknown"} It is tried again by itself.`,
    });
  if (forgot?.held !== undefined)
    alerts.push({
      code: "retention-held",
      text: `Nothing is forgotten by itself just now: ${forgot.held}. "cairn forget --dry-run" shows it for each snapshot.`,
    });
  if (pruned !== undefined && pruned.failures >= FAILURES_TOLD)
    alerts.push({
      code: "prune-failing",
      text: `What nothing needs could not be given back, ${pruned.failures} times in a row: ${pruned.reason ?? "unknown"} It is tried again by itself.`,
    });
  return alerts;
}
