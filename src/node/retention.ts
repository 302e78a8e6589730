import { toHex } from "../base/bytes.ts";
import { Catalog, type SnapshotEntry } from "../catalog/index.ts";
import { lockMsOf } from "../locks/index.ts";
import {
  decideAsked,
  decideRetention,
  type EffectiveSet,
  type Keep,
  type RetentionCandidate,
  type RetentionContext,
  type RetentionVerdict,
  rulesText,
  setTag,
} from "../policy/index.ts";
import { marksOf } from "./marks.ts";
import type { Node } from "./node.ts";
import { clockAheadOfPeersMs } from "./peers-clock.ts";
import { isPinned } from "./pins.ts";

/** What one set's rules make of its snapshots. */
export interface RetentionOfSet {
  /** `undefined`: of snapshots that are of no set. */
  readonly set: string | undefined;
  /** `last 3, daily 7`; empty where everything is kept. */
  readonly rules: string;
  readonly snapshots: readonly { readonly entry: SnapshotEntry; readonly verdict: RetentionVerdict }[];
}

export interface RetentionPlan {
  readonly clockAheadMs: number | undefined;
  readonly sets: readonly RetentionOfSet[];
  /** Of no set of the policy: no rule is about them, and they are kept. */
  readonly others: readonly SnapshotEntry[];
}

/**
 * What the policy would forget, set by set. Decides and changes nothing.
 * @param keep instead of each set's own rules
 * @param clockHold why nothing is forgotten just now
 */
export async function planRetention(
  node: Node,
  sets: readonly EffectiveSet[],
  keep: Keep | undefined,
  clockHold?: string,
): Promise<RetentionPlan> {
  const { repository } = node;
  const entries = await repository.snapshots();
  const clockAheadMs = await clockAheadOfPeersMs(repository.catalog);
  const context = contextOf(node, entries, clockAheadMs, clockHold);
  const census = repository.census();
  const planned: RetentionOfSet[] = [];
  const taken = new Set<SnapshotEntry>();
  for (const set of sets) {
    const own = entries.filter(({ tags }) => tags.includes(setTag(set.name)));
    for (const entry of own) taken.add(entry);
    const candidates = await candidatesOf(node, own, set.lockMs.value, census);
    const rules = keep ?? set.keep.value;
    const verdicts = decideRetention(candidates, rules, context);
    const snapshots = own.flatMap((entry, i) => {
      const verdict = verdicts[i];
      return verdict === undefined ? [] : [{ entry, verdict }];
    });
    planned.push({ set: set.name, rules: rulesText(rules), snapshots });
  }
  return { clockAheadMs, sets: planned, others: entries.filter((entry) => !taken.has(entry)) };
}

/** By what its set says now, by what was said when it was made, and by what its holders have acknowledged: the latest. */
function lockedUntil(node: Node, entry: SnapshotEntry, setLockMs: number): { lockedUntilMs?: number } {
  const forMs = Math.max(setLockMs, lockMsOf(entry));
  if (forMs === 0) return {};
  const standing = node.repository.locks.standingOf(entry);
  const signedMs = standing?.state === "locked" ? standing.untilMs : 0;
  return { lockedUntilMs: Math.max(entry.timeMs + forMs, signedMs) };
}

/**
 * What may be forgotten of the snapshots that somebody named, each among those of its set, or of its paths where it is of none.
 * Decides and changes nothing.
 */
export async function planAsked(
  node: Node,
  sets: readonly EffectiveSet[],
  asked: readonly string[],
): Promise<RetentionPlan> {
  const { repository } = node;
  const entries = await repository.snapshots();
  const chosen = new Set(asked.map((name) => Catalog.find(entries, name)));
  const ids = new Set([...chosen].map(({ id }) => toHex(id)));
  const clockAheadMs = await clockAheadOfPeersMs(repository.catalog);
  const census = repository.census();
  const others = entries.filter((entry) => !chosen.has(entry));
  const context = contextOf(node, others, clockAheadMs);
  const groups = Map.groupBy(entries, (entry) => groupOf(entry));
  const planned: RetentionOfSet[] = [];
  for (const [group, own] of groups) {
    if (!own.some((entry) => chosen.has(entry))) continue;
    const set = sets.find(({ name }) => group === setTag(name));
    const candidates = await candidatesOf(node, own, set?.lockMs.value ?? 0, census);
    const verdicts = new Map(decideAsked(candidates, ids, context).map((verdict) => [verdict.id, verdict]));
    const snapshots = own.flatMap((entry) => {
      const verdict = verdicts.get(toHex(entry.id));
      return verdict === undefined ? [] : [{ entry, verdict }];
    });
    planned.push({ set: set?.name, rules: "", snapshots });
  }
  return { clockAheadMs, sets: planned, others: [] };
}

const isDated = (entry: SnapshotEntry): boolean => marksOf(entry).every(({ kind }) => kind !== "clock");

/** What holds a snapshot, and perhaps those before it, until somebody has looked. */
function markOf(entry: SnapshotEntry): Pick<RetentionCandidate, "mark" | "holdsEarlier" | "misdated"> {
  const marks = marksOf(entry);
  if (marks.length === 0) return {};
  return {
    mark: marks.map(({ text }) => text).join("; "),
    holdsEarlier: marks.some(({ kind }) => kind === "anomaly"),
    misdated: !isDated(entry),
  };
}

/** Its set's tag, else its paths. */
export function groupOf({ tags, paths }: Pick<SnapshotEntry, "tags" | "paths">): string {
  const set = tags.find((tag) => tag.startsWith(setTag("")));
  return set ?? paths.map((path) => toHex(path)).join();
}

async function candidatesOf(
  node: Node,
  entries: readonly SnapshotEntry[],
  lockMs: number,
  census: ReturnType<Node["repository"]["census"]>,
): Promise<RetentionCandidate[]> {
  const candidates: RetentionCandidate[] = [];
  for (const entry of entries) {
    const state = entry.partial ? "partial" : (await node.repository.protectionOf(entry, census)).state;
    const locked = lockedUntil(node, entry, lockMs);
    const { sequence, timeMs, tags } = entry;
    const pinned = isPinned(entry);
    const marked = markOf(entry);
    candidates.push({ id: toHex(entry.id), sequence, timeMs, tags, state, pinned, ...locked, ...marked });
  }
  return candidates;
}

function contextOf(
  node: Node,
  entries: readonly SnapshotEntry[],
  clockAheadMs: number | undefined,
  clockHold?: string,
): RetentionContext {
  const nowMs = node.ports.clock.wallMs();
  const newestMs = entries.reduce(
    (newest, entry) => (isDated(entry) ? Math.max(newest, entry.timeMs) : newest),
    Number.NEGATIVE_INFINITY,
  );
  return {
    ...{ nowMs, newestMs },
    ...(clockAheadMs === undefined ? {} : { clockAheadMs }),
    ...(clockHold === undefined ? {} : { clockHold }),
  };
}

/** By its set's rules, because somebody named it, or by its set's rules with nobody asking. */
export type ForgottenBy = "rules" | "name" | "policy";

/** Takes what a plan does not keep off the list, with one head. The plan is made where nobody else writes the list. */
export async function forget(
  node: Node,
  plan: () => Promise<RetentionPlan>,
  signal: AbortSignal,
  by: ForgottenBy,
): Promise<RetentionPlan> {
  return node.repository.change(signal, async (relist) => {
    const planned = await plan();
    const gone = goneOf(planned);
    if (gone.length === 0) return planned;
    await relist(gone.map(({ entry }) => entry));
    for (const { entry, set, why } of gone) {
      const ofSet = set === undefined ? {} : { set };
      const snapshot = toHex(entry.id);
      node.log.info("snapshot-forgotten", { snapshot, timeMs: entry.timeMs, by, ...ofSet, why });
      await node.repository.enter("forget", { snapshot, by, ...ofSet });
    }
    return planned;
  });
}

interface Gone {
  readonly entry: SnapshotEntry;
  readonly set: string | undefined;
  readonly why: string;
}

function goneOf(plan: RetentionPlan): Gone[] {
  return plan.sets.flatMap(({ set, snapshots }) =>
    snapshots.flatMap(({ entry, verdict: { keep, reasons } }) =>
      keep ? [] : [{ entry, set, why: reasons.map(({ text }) => text).join(", ") }],
    ),
  );
}
