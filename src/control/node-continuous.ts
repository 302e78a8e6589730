import { equalBytes } from "../base/bytes.ts";
import { formatDuration, MINUTE_MS } from "../base/units.ts";
import type { RecoveryPoint, SetStanding } from "../node/index.ts";
import { iso } from "./node-json.ts";
import type { ContinuousStanding, SetStandingInfo } from "./policy-api.ts";
import type { Alert } from "./results.ts";

/** What would be lost now; `undefined` where no snapshot is safe. */
export function rpoMsOf(
  { set, last, sight }: SetStanding,
  point: RecoveryPoint | undefined,
  nowMs: number,
): number | undefined {
  const safe = point?.safe;
  if (safe === undefined) return undefined;
  const ageMs = Math.max(0, nowMs - safe.timeMs);
  const isNewest = last?.snapshot !== undefined && equalBytes(last.snapshot, safe.id);
  // Which changes are in an older snapshot and which are not is not remembered.
  if (set.continuousMs.value === undefined || sight === undefined || !isNewest) return ageMs;
  return Math.min(ageMs, Math.round(sight.unsaved?.firstAgoMs ?? sight.knownAgoMs));
}

export function continuousJson(
  { set, sight }: SetStanding,
  nowMs: number,
): { continuous?: ContinuousStanding } {
  const everyMs = set.continuousMs.value;
  if (everyMs === undefined || sight === undefined) return {};
  const { mode, unsaved } = sight;
  return {
    continuous: {
      everyMs,
      mode: mode.how,
      ...(mode.how === "rescanning" ? { why: mode.why } : {}),
      ...(mode.how === "watching" ? { directories: mode.directories } : {}),
      ...(unsaved === undefined ? {} : { unsavedSince: iso(Math.round(nowMs - unsaved.firstAgoMs)) }),
    },
  };
}

/** A snapshot may take as long as what was asked for, and another set may be saved meanwhile. */
const BEHIND_MS = 10 * MINUTE_MS;

/** While there is no safe snapshot at all, other alerts say so. */
export function continuousAlert({ set, rpoMs, continuous }: SetStandingInfo): Alert[] {
  if (continuous?.unsavedSince === undefined || rpoMs === undefined) return [];
  if (rpoMs <= 2 * continuous.everyMs + BEHIND_MS) return [];
  return [
    {
      code: "set-behind",
      text: `Set ${set} should lose no more than ${formatDuration(continuous.everyMs)}, and would lose ${formatDuration(rpoMs)} now.`,
    },
  ];
}
