import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { SECOND_MS } from "../base/units.ts";
import {
  type EffectiveSet,
  forgetDueMs,
  forgetsByItself,
  pruneDueMs,
  retryAfterMs,
  type TidyRules,
  type TidyTime,
} from "../policy/index.ts";
import type { Clock } from "../ports/index.ts";
import type { PolicyStanding, SetStanding } from "./standing.ts";
import { cutReason, type ForgetRun, type PruneRun, type TidyRecords } from "./tidy-records.ts";

/** What forgetting by the rules came to. */
export interface Forgotten {
  readonly kept: number;
  readonly forgotten: number;
  /** Why nothing may be forgotten at all just now. */
  readonly held?: string;
}

export interface TidierComponents {
  readonly clock: Clock;
  readonly log: Log;
  readonly records: TidyRecords;
  readonly rules: TidyRules;
  readonly seed: string;
  /** The policy as it is now. */
  readonly policy: () => Promise<PolicyStanding>;
  /** By the rules of these sets. Throws what made it impossible; then nothing is forgotten. */
  readonly forget: (sets: readonly EffectiveSet[], signal: AbortSignal) => Promise<Forgotten>;
  readonly prune: (signal: AbortSignal) => Promise<{ readonly segments: number; readonly bytes: number }>;
  /** While not: nothing is begun. */
  readonly mayRun: () => boolean;
}

export interface TidyStanding {
  /** Sets whose rules are acted on. */
  readonly sets: readonly string[];
  readonly forget: { readonly nextMs: number; readonly last: ForgetRun | undefined };
  readonly prune: { readonly nextMs: number; readonly last: PruneRun | undefined };
}

/** Between two looks at policy and clock. */
const LOOK_MS = 30 * SECOND_MS;

/**
 * Forgets what the policy's rules do not keep, and gives back what only that needed, with nobody asking. Where no set of the policy
 * has rules, and as long as the policy's file is not valid, it does nothing at all.
 */
export class Tidier {
  readonly #c: TidierComponents;
  readonly #stopping = new AbortController();
  readonly #sinceMs: number;
  #loop: Promise<void> | undefined;

  constructor(components: TidierComponents) {
    this.#c = components;
    this.#sinceMs = components.clock.wallMs();
  }

  start(): void {
    this.#loop ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    await this.#loop;
  }

  /** `undefined`: nothing is done by itself. */
  standing(policy: PolicyStanding): TidyStanding | undefined {
    const sets = ruled(policy);
    if (sets.length === 0) return undefined;
    const { records, rules } = this.#c;
    const { forget, prune, forgotten } = records.state;
    const at = this.#time();
    return {
      sets: sets.map(({ set }) => set.name),
      forget: { nextMs: forgetDueMs(rules, forget, savedMs(sets), at), last: forget },
      prune: { nextMs: pruneDueMs(rules, prune, forgotten, at), last: prune },
    };
  }

  #time(): TidyTime {
    const { clock, seed } = this.#c;
    return { nowMs: clock.wallMs(), sinceMs: this.#sinceMs, seed: `${seed}/tidying` };
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = await this.#turn(signal);
      if (!signal.aborted) await this.#c.clock.sleep(waitMs, signal).catch(() => {});
    }
  }

  /** Does what is due; how long nothing will be. */
  async #turn(signal: AbortSignal): Promise<number> {
    if (!this.#c.mayRun()) return LOOK_MS;
    try {
      const policy = await this.#c.policy();
      const standing = this.standing(policy);
      if (standing === undefined) return LOOK_MS;
      const nowMs = this.#c.clock.wallMs();
      if (standing.forget.nextMs <= nowMs) {
        await this.#forget(
          ruled(policy).map(({ set }) => set),
          signal,
        );
        return 1;
      }
      if (standing.prune.nextMs <= nowMs) {
        await this.#prune(signal);
        return 1;
      }
      return Math.max(1, Math.min(LOOK_MS, standing.forget.nextMs - nowMs, standing.prune.nextMs - nowMs));
    } catch (error) {
      // Told to stop, or the home's disk is full: what was due is due again.
      if (!isFault(error)) throw error;
      if (!signal.aborted) this.#c.log.warn("tidying-failed", { why: messageOf(error) });
      return LOOK_MS;
    }
  }

  async #forget(sets: readonly EffectiveSet[], signal: AbortSignal): Promise<void> {
    const { clock, log, records } = this.#c;
    const startedMs = clock.wallMs();
    const failures = (records.state.forget?.failures ?? 0) + 1;
    try {
      const { kept, forgotten, held } = await this.#c.forget(sets, signal);
      const why = held === undefined ? {} : { held: cutReason(held) };
      const run = { startedMs, endedMs: clock.wallMs(), failures: 0, kept, forgotten, ...why };
      await records.save({ forget: run, forgotten: records.state.forgotten + forgotten });
      const names = sets.map(({ name }) => name);
      if (held === undefined) log.info("retention-applied", { sets: names, kept, forgotten });
      else log.warn("retention-held", { sets: names, why: held });
    } catch (error) {
      if (signal.aborted || !isFault(error)) throw error;
      const reason = cutReason(messageOf(error));
      const run = { startedMs, endedMs: clock.wallMs(), failures, reason, kept: 0, forgotten: 0 };
      await records.save({ forget: run });
      log.error("retention-failed", { why: reason, failures, retryInMs: retryAfterMs(failures) });
    }
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const { clock, log, records } = this.#c;
    const startedMs = clock.wallMs();
    const failures = (records.state.prune?.failures ?? 0) + 1;
    // Those that are forgotten meanwhile are for the next one.
    const forgottenBefore = records.state.forgotten;
    try {
      const { segments, bytes } = await this.#c.prune(signal);
      const run = { startedMs, endedMs: clock.wallMs(), failures: 0, segments, bytes };
      await records.save({ prune: run, forgotten: Math.max(0, records.state.forgotten - forgottenBefore) });
      log.info("repository-pruned", { segments, bytes });
    } catch (error) {
      if (signal.aborted || !isFault(error)) throw error;
      const reason = cutReason(messageOf(error));
      const run = { startedMs, endedMs: clock.wallMs(), failures, reason, segments: 0, bytes: 0 };
      await records.save({ prune: run });
      log.error("prune-failed", { why: reason, failures, retryInMs: retryAfterMs(failures) });
    }
  }
}

/** What is not in force decides nothing about what there is: the rules of a broken file may lack a line. */
function ruled(policy: PolicyStanding): readonly SetStanding[] {
  return policy.state === "valid" ? policy.sets.filter(({ set }) => forgetsByItself(set)) : [];
}

function savedMs(sets: readonly SetStanding[]): number | undefined {
  const times = sets.flatMap(({ last }) => (last === undefined || last.failures > 0 ? [] : [last.endedMs]));
  return times.length === 0 ? undefined : Math.max(...times);
}
