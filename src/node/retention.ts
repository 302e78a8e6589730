import { toHex } from "../base/bytes.ts";
import type { SnapshotEntry } from "../catalog/index.ts";
import { lockMsOf } from "../locks/index.ts";
import {
  decideRetention,
  type EffectiveSet,
  type Keep,
  type RetentionCandidate,
  type RetentionVerdict,
  rulesText,
  setTag,
} from "../policy/index.ts";
import type { Node } from "./node.ts";
import { clockAheadOfPeersMs } from "./peers-clock.ts";
import { isPinned } from "./pins.ts";

/** What one set's rules make of its snapshots. */
export interface RetentionOfSet {
  readonly set: string;
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
 */
export async function planRetention(
  node: Node,
  sets: readonly EffectiveSet[],
  keep: Keep | undefined,
): Promise<RetentionPlan> {
  const { repository } = node;
  const entries = await repository.snapshots();
  const clockAheadMs = await clockAheadOfPeersMs(repository.catalog);
  const census = repository.census();
  const planned: RetentionOfSet[] = [];
  const taken = new Set<SnapshotEntry>();
  for (const set of sets) {
    const own = entries.filter(({ tags }) => tags.includes(setTag(set.name)));
    for (const entry of own) taken.add(entry);
    const candidates: RetentionCandidate[] = [];
    for (const entry of own) {
      const state = entry.partial ? "partial" : (await repository.protectionOf(entry, census)).state;
      const locked = lockedUntil(node, entry, set.lockMs.value);
      const { sequence, timeMs, tags } = entry;
      candidates.push({
        id: toHex(entry.id),
        sequence,
        timeMs,
        tags,
        state,
        pinned: isPinned(entry),
        ...locked,
      });
    }
    const rules = keep ?? set.keep.value;
    const context = {
      nowMs: node.ports.clock.wallMs(),
      ...(clockAheadMs === undefined ? {} : { clockAheadMs }),
    };
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
