import { isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { Compaction } from "./compaction.ts";
import type { CompactionCandidate } from "./compaction-plan.ts";
import type { PruneOutcome } from "./prune.ts";

/** What was copied before a prune, or would be. */
export interface CopiedOutcome {
  /** Copied whole, as far as anything reads them: the prune gives them up. */
  readonly segments: number;
  /** Of them, what is read. */
  readonly aliveBytes: number;
  /** Their shards, as acknowledged. */
  readonly storedBytes: number;
}

/** One run of compaction, turn by turn. That it cannot be done now is no reason to give up less. */
export async function compact(
  compaction: Pick<Compaction, "plan" | "copy">,
  inTurn: <T>(task: (signal: AbortSignal) => Promise<T>) => Promise<T>,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal; readonly log: Log },
): Promise<CopiedOutcome> {
  const plan = await inTurn((signal) => compaction.plan(signal));
  if (options.dryRun) return outcomeOf(plan.victims);
  const copied: CompactionCandidate[] = [];
  for (const turn of plan.turns) {
    try {
      if (!(await inTurn((signal) => compaction.copy(turn, signal)))) break;
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED", "INTERRUPTED")) throw error;
      options.log.warn("compaction-failed", { why: messageOf(error) });
      break;
    }
    copied.push(...turn.victims);
  }
  return outcomeOf(copied);
}

function outcomeOf(victims: readonly CompactionCandidate[]): CopiedOutcome {
  const outcome = { segments: victims.length, aliveBytes: 0, storedBytes: 0 };
  for (const { aliveBytes, storedBytes } of victims) {
    outcome.aliveBytes += aliveBytes;
    outcome.storedBytes += storedBytes;
  }
  return outcome;
}

/** What a prune would do that copies before: what is copied is given up as well. */
export function withCopied(
  outcome: PruneOutcome,
  copied: CopiedOutcome,
): PruneOutcome & { readonly copied: CopiedOutcome } {
  return {
    ...outcome,
    segments: outcome.segments + copied.segments,
    freedBytes: outcome.freedBytes + copied.storedBytes,
    keptSegments: outcome.keptSegments - copied.segments,
    keptBytes: outcome.keptBytes - copied.storedBytes,
    copied,
  };
}
