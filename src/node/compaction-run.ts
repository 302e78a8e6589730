import { isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { Compaction } from "./compaction.ts";

/** What was copied before a prune, or would be. */
export interface CopiedOutcome {
  /** Copied whole, as far as anything reads them: the prune gives them up. */
  readonly segments: number;
  /** Of them, what is read. */
  readonly aliveBytes: number;
}

const NOTHING: CopiedOutcome = { segments: 0, aliveBytes: 0 };

/** One run of compaction, turn by turn. That it cannot be done now is no reason to give up less. */
export async function compact(
  compaction: Pick<Compaction, "plan" | "copy">,
  inTurn: <T>(task: (signal: AbortSignal) => Promise<T>) => Promise<T>,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal; readonly log: Log },
): Promise<CopiedOutcome> {
  const plan = await inTurn((signal) => compaction.plan(signal));
  if (options.dryRun) return { segments: plan.victims.length, aliveBytes: plan.aliveBytes };
  const copied = { ...NOTHING };
  for (const turn of plan.turns) {
    try {
      if (!(await inTurn((signal) => compaction.copy(turn, signal)))) break;
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED", "INTERRUPTED")) throw error;
      options.log.warn("compaction-failed", { why: messageOf(error) });
      break;
    }
    copied.segments += turn.victims.length;
    copied.aliveBytes += turn.victims.reduce((sum, { aliveBytes }) => sum + aliveBytes, 0);
  }
  return copied;
}
