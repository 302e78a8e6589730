import { DAY_MS, formatDuration, HOUR_MS } from "../base/units.ts";
import { CLOCK_TOLERANCE_MS, type EffectiveSet } from "../policy/index.ts";
import { prefixed } from "../ports/index.ts";
import { type Forgotten, Tidier, TidyRecords } from "../schedule/index.ts";
import type { UpkeepSettings } from "../upkeep/index.ts";
import type { Node } from "./node.ts";
import { type ClockEvidence, clockEvidence } from "./peers-clock.ts";
import { NAMESPACE } from "./ports.ts";
import { forget, planRetention, type RetentionPlan } from "./retention.ts";
import type { NodeScheduler } from "./scheduling.ts";

/** Receipts older than that say nothing of what this machine's clock is now: it may have been set since. */
const CLOCK_SEEN_WITHIN_MS = DAY_MS + 2 * HOUR_MS;
/** At a time: the rest has its turn after a pause, and nobody waits long for the list. */
const FORGOTTEN_MAX = 500;

/** What forgets and prunes by a node's policy, with nobody asking; to be started after the scheduler, and stopped before it. */
export function tidierOf(
  node: Node,
  scheduler: NodeScheduler,
  { tidying }: Pick<UpkeepSettings, "tidying">,
): Tidier {
  const { repository } = node;
  const { clock, log, meta, network } = node.ports;
  return new Tidier({
    ...{ clock, log, rules: tidying, seed: network.self },
    records: TidyRecords.open(prefixed(meta, NAMESPACE.tidying)),
    async policy() {
      await scheduler.reload();
      return scheduler.standing;
    },
    forget: (sets, signal) => forgetByPolicy(node, sets, signal),
    async prune(signal) {
      const { segments, freedBytes: bytes } = await repository.prune({ dryRun: false, signal });
      return { segments, bytes };
    },
    mayRun: () => !node.isGuest && !node.isFenced && !repository.catalog.state.readOnly,
  });
}

async function forgetByPolicy(
  node: Node,
  sets: readonly EffectiveSet[],
  signal: AbortSignal,
): Promise<Forgotten> {
  const decide = async (): Promise<RetentionPlan> => {
    const evidence = await clockEvidence(node.repository.catalog);
    const hold = whyClockHolds(evidence, node.ports.clock.wallMs());
    return atMost(await planRetention(node, sets, undefined, hold), FORGOTTEN_MAX);
  };
  const plan = await forget(node, decide, signal, "policy");
  const verdicts = plan.sets.flatMap(({ snapshots }) => snapshots.map(({ verdict }) => verdict));
  const kept = verdicts.filter(({ keep }) => keep).length;
  const held = verdicts.flatMap(({ reasons }) => reasons).find(({ rule }) => rule === "clock");
  return { kept, forgotten: verdicts.length - kept, ...(held === undefined ? {} : { held: held.text }) };
}

/**
 * Why a clock may not forget anything by itself. Somebody who types a command has looked at a clock; here nobody has, so that peers
 * must have confirmed it lately, even if it is only one.
 */
export function whyClockHolds(evidence: ClockEvidence | undefined, nowMs: number): string | undefined {
  if (evidence === undefined) return "no peer has confirmed this machine's clock yet: nothing is forgotten";
  const { aheadMs, asOfMs } = evidence;
  if (Math.abs(aheadMs) > HOUR_MS)
    return `this machine's clock was ${formatDuration(Math.abs(aheadMs))} ${aheadMs > 0 ? "ahead of" : "behind"} its peers': nothing is forgotten`;
  if (asOfMs > nowMs + CLOCK_TOLERANCE_MS || nowMs - asOfMs > CLOCK_SEEN_WITHIN_MS)
    return "this machine's clock may have been set since its peers confirmed it: nothing is forgotten before the next snapshot";
  return undefined;
}

/** What is beyond stays where it is until the next time; the oldest go first. */
function atMost(plan: RetentionPlan, max: number): RetentionPlan {
  let left = max;
  return {
    ...plan,
    sets: plan.sets.map((one) => ({
      ...one,
      snapshots: one.snapshots.map(({ entry, verdict }) => {
        if (verdict.keep || left-- > 0) return { entry, verdict };
        const reasons = [{ rule: "next-time", text: "no rule keeps it: forgotten the next time" }] as const;
        return { entry, verdict: { ...verdict, keep: true, reasons } };
      }),
    })),
  };
}
