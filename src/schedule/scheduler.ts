import { toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { BytePath } from "../base/paths.ts";
import { SECOND_MS } from "../base/units.ts";
import {
  ClockWatch,
  chooseRun,
  continuousDueMs,
  type EffectiveSet,
  effectiveSets,
  effectiveUplink,
  nextDueMs,
  type PolicyIssue,
  parsePolicy,
  retryAfterMs,
  type Sourced,
  setTag,
  type UplinkNow,
  type UplinkRule,
  uplinkAt,
  type Whereabouts,
} from "../policy/index.ts";
import type { Clock, HookRunner, PolicyFile } from "../ports/index.ts";
import type { SetSight, SetWatches } from "../watch/index.ts";
import { Hooked, type HookOutcome } from "./hooked.ts";
import type { RunRecord, RunRecords } from "./records.ts";
import type { PolicyStanding, SetStanding } from "./standing.ts";

/** What a set is a snapshot of. */
export interface SetSnapshot<P> {
  readonly paths: readonly BytePath[];
  readonly excludes: readonly BytePath[];
  readonly oneFileSystem: boolean;
  readonly tags: readonly string[];
  readonly profile: { readonly k: number; readonly m: number } | undefined;
  /** 0: not to be locked. */
  readonly lockMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: P) => void;
}

/** What the scheduler has to know of one that was made. */
export interface TakenSnapshot {
  readonly id: Uint8Array;
  readonly state: string;
  readonly unreadable: number;
}

export interface SchedulerComponents<P, T> {
  readonly clock: Clock;
  readonly log: Log;
  readonly file: PolicyFile;
  readonly hooks: HookRunner;
  readonly records: RunRecords;
  readonly watches: SetWatches;
  readonly here: () => Whereabouts;
  /** Different on every node: it spreads what jitter spreads. */
  readonly seed: string;
  /** Throws what made it impossible. */
  readonly snapshot: (request: SetSnapshot<P>) => Promise<T>;
  readonly taken: (snapshot: T) => TakenSnapshot;
  /** While not: nothing is begun. A node that is read-only, say. */
  readonly mayRun: () => boolean;
}

/** Between two looks at file and clock: a file that was changed, and a clock that was set, are noticed by then. */
const LOOK_MS = 30 * SECOND_MS;
/** The same, while changes are to be noticed. */
const CONTINUOUS_LOOK_MS = 3 * SECOND_MS;

/** The driver: looks, lets policy/ decide, acts, writes down what came of it. */
export class Scheduler<P, T> {
  readonly #c: SchedulerComponents<P, T>;
  readonly #stopping = new AbortController();
  readonly #gate = new Semaphore(1);
  readonly #watch: ClockWatch;
  #sinceMs: number;
  #text: string | undefined;
  #where: string | undefined;
  #sets: readonly EffectiveSet[] = [];
  #uplink: Sourced<UplinkRule> | undefined;
  #issues: readonly PolicyIssue[] | undefined;
  #hasFile = false;
  #running: string | undefined;
  #loop: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor(components: SchedulerComponents<P, T>) {
    this.#c = components;
    const { clock } = components;
    this.#sinceMs = clock.wallMs();
    this.#watch = new ClockWatch(this.#sinceMs, clock.monotonicMs());
  }

  async start(): Promise<void> {
    await this.reload();
    this.#loop = this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    this.#wake?.();
    await this.#loop;
    await this.#c.watches.stop();
  }

  get standing(): PolicyStanding {
    const sets = this.#plan().map(({ set, dueMs, last, sight }): SetStanding => {
      return { set, dueMs, last, sight, isRunning: set.name === this.#running };
    });
    if (this.#issues !== undefined) return { state: "invalid", issues: this.#issues, sets };
    return this.#hasFile ? { state: "valid", sets } : { state: "none" };
  }

  /** What the policy lets this node send now; `undefined`: it says nothing of it. */
  get uplink(): Sourced<UplinkNow> | undefined {
    if (this.#uplink === undefined) return undefined;
    const { value, from } = this.#uplink;
    return { value: uplinkAt(value, this.#c.clock.wallMs()), from };
  }

  /** Replaces the policy, once it was found to be valid; throws POLICY_INVALID with what is wrong. */
  async replace(text: string): Promise<PolicyStanding> {
    const parsed = parsePolicy(text);
    if (!parsed.ok) throw new Fault({ code: "POLICY_INVALID", issues: parsed.issues });
    await this.#c.file.write(text);
    await this.reload();
    this.#wake?.();
    return this.standing;
  }

  /** The text in force, or what lies there and is not. */
  async text(): Promise<string | undefined> {
    return await this.#c.file.read();
  }

  /** Makes a set's snapshot now; waits for one that is under way. Throws what made it impossible. */
  async runNow(
    name: string,
    options: { signal: AbortSignal; onProgress: (progress: P) => void },
  ): Promise<T> {
    await this.reload();
    const set = this.#sets.find((one) => one.name === name);
    if (set === undefined) throw new Fault({ code: "SET_UNKNOWN", set: name });
    const signal = AbortSignal.any([options.signal, this.#stopping.signal]);
    return await this.#gate.run(() => this.#save(set, { ...options, signal }));
  }

  /** Reads the file again where it is another one than before. What cannot be used leaves what is in force. */
  async reload(): Promise<void> {
    const { file, log, here } = this.#c;
    let text: string | undefined;
    try {
      text = await file.read();
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#text = undefined;
      this.#reject([{ line: 1, column: 1, message: error.message }], error.message);
      return;
    }
    // A node that was moved to another site is told other things by the same file.
    const place = here();
    const where = `${place.site}/${place.node}`;
    if (text === this.#text && where === this.#where && (text !== undefined) === this.#hasFile) return;
    this.#text = text;
    this.#where = where;
    const hadFile = this.#hasFile;
    this.#hasFile = text !== undefined;
    if (text === undefined) {
      this.#use([]);
      this.#uplink = undefined;
      this.#issues = undefined;
      if (hadFile) log.info("policy-removed");
      return;
    }
    const parsed = parsePolicy(text);
    if (!parsed.ok) {
      this.#reject(parsed.issues, text);
      return;
    }
    this.#rejected = undefined;
    this.#issues = undefined;
    this.#uplink = effectiveUplink(parsed.policy, parsed.lineOf, place);
    this.#use(effectiveSets(parsed.policy, parsed.lineOf, place));
    log.info("policy-loaded", { sets: this.#sets.map(({ name }) => name) });
  }

  #use(sets: readonly EffectiveSet[]): void {
    this.#sets = sets;
    this.#c.watches.follow(
      sets.flatMap(({ name, continuousMs: { value: everyMs }, paths, excludes, oneFileSystem }) => {
        if (everyMs === undefined) return [];
        const looksAt = { paths: paths.value, oneFileSystem: oneFileSystem.value };
        return [{ name, everyMs, ...looksAt, excludes: excludes.map(({ value }) => value) }];
      }),
    );
  }

  #rejected: string | undefined;

  /** Said once of each mistake, not with every look. */
  #reject(issues: readonly PolicyIssue[], what: string): void {
    this.#hasFile = true;
    this.#issues = issues;
    if (this.#rejected === what) return;
    this.#rejected = what;
    const [first] = issues;
    this.#c.log.error("policy-invalid", { line: first?.line, why: first?.message, issues: issues.length });
  }

  #plan(): PlannedRun[] {
    const nowMs = this.#c.clock.wallMs();
    return this.#sets.map((set) => {
      const last = this.#c.records.of(set.name);
      const timing = set.timing.value;
      const at = { nowMs, sinceMs: this.#sinceMs, seed: `${this.#c.seed}/${set.name}` };
      const scheduledMs = timing === undefined ? undefined : nextDueMs(timing, last, at);
      const sight = this.#c.watches.sightOf(set.name);
      const changedMs = sight === undefined ? undefined : noticedDueMs(set, last, sight, nowMs);
      return { set, last, sight, dueMs: earlier(scheduledMs, changedMs) };
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.reload();
      const waitMs = await this.#turn(signal);
      if (waitMs > 0 && !signal.aborted) await this.#sleep(waitMs);
    }
  }

  /** Makes one snapshot if one is due; how long nothing will be. */
  async #turn(signal: AbortSignal): Promise<number> {
    const { clock, log, mayRun } = this.#c;
    const nowMs = clock.wallMs();
    const stepMs = this.#watch.look(nowMs, clock.monotonicMs());
    if (stepMs !== undefined) {
      this.#sinceMs = nowMs;
      log.warn("clock-stepped", { byMs: stepMs });
    }
    if (!mayRun()) return LOOK_MS;
    const plan = this.#plan();
    const turn = chooseRun(
      plan.map(({ set, dueMs }) => ({ name: set.name, priority: set.priority.value, dueMs })),
      nowMs,
    );
    const chosen = plan.find(({ set }) => set.name === turn);
    if (chosen === undefined) {
      const next = Math.min(...plan.map(({ dueMs }) => dueMs ?? Number.POSITIVE_INFINITY));
      const lookMs = plan.some(({ sight }) => sight !== undefined) ? CONTINUOUS_LOOK_MS : LOOK_MS;
      return Math.max(1, Math.min(lookMs, next - nowMs));
    }
    const ignored = (): void => {};
    try {
      await this.#gate.run(() => this.#save(chosen.set, { signal, onProgress: ignored }));
    } catch (error) {
      if (!isFault(error)) throw error;
      // Written down and told by `#save`, unless the disk is full: not again at once, whatever it was.
      return LOOK_MS;
    }
    return 0;
  }

  async #save(
    set: EffectiveSet,
    options: { signal: AbortSignal; onProgress: (progress: P) => void },
  ): Promise<T> {
    const { clock, log, records } = this.#c;
    options.signal.throwIfAborted();
    const startedMs = clock.wallMs();
    const failures = records.of(set.name)?.failures ?? 0;
    this.#running = set.name;
    log.info("set-started", { set: set.name });
    const hooked = new Hooked({ ...this.#c, set: set.name, hooks: set.hooks.value, runner: this.#c.hooks });
    const watch = this.#c.watches.of(set.name);
    let isMade = false;
    try {
      const { result, after } = await hooked.around(
        options.signal,
        async () => {
          await watch?.begin();
          return await this.#snapshot(set, options);
        },
        this.#c.taken,
      );
      isMade = true;
      const { id, state, unreadable } = this.#c.taken(result);
      const endedMs = clock.wallMs();
      const reason = reasonOf(after);
      await records.save(set.name, {
        ...{ startedMs, endedMs, failures: 0, snapshot: id, unreadable },
        ...(reason === undefined ? {} : { reason }),
      });
      log.info("set-finished", {
        ...{ set: set.name, snapshot: toHex(id), state, unreadable },
        durationMs: Math.max(0, endedMs - startedMs),
      });
      return result;
    } catch (error) {
      // Told to stop: neither a success nor a failure, and begun again when this node is.
      if (options.signal.aborted || !isFault(error)) throw error;
      await this.#failed(set, startedMs, failures + 1, error);
      throw error;
    } finally {
      watch?.end(isMade);
      this.#running = undefined;
    }
  }

  async #failed(set: EffectiveSet, startedMs: number, failures: number, error: Fault): Promise<void> {
    const { clock, log, records } = this.#c;
    const reason = messageOf(error);
    const endedMs = clock.wallMs();
    await records.save(set.name, { startedMs, endedMs, failures, reason, unreadable: 0 });
    log.error("set-failed", { set: set.name, why: reason, failures, retryInMs: retryAfterMs(failures) });
  }

  #snapshot(
    set: EffectiveSet,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: P) => void },
  ): Promise<T> {
    return this.#c.snapshot({
      paths: set.paths.value,
      excludes: set.excludes.map(({ value }) => value),
      oneFileSystem: set.oneFileSystem.value,
      tags: [setTag(set.name), ...set.tags.value],
      profile: set.profile.value,
      lockMs: set.lockMs.value,
      signal,
      onProgress,
    });
  }

  async #sleep(ms: number): Promise<void> {
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([woken, this.#c.clock.sleep(ms, timer.signal).catch(() => {})]);
    this.#wake = undefined;
    timer.abort();
  }
}

interface PlannedRun {
  readonly set: EffectiveSet;
  readonly dueMs: number | undefined;
  readonly last: RunRecord | undefined;
  readonly sight: SetSight | undefined;
}

function noticedDueMs(
  set: EffectiveSet,
  last: RunRecord | undefined,
  { unsaved }: SetSight,
  nowMs: number,
): number | undefined {
  const everyMs = set.continuousMs.value;
  if (everyMs === undefined) return undefined;
  const span =
    unsaved === undefined
      ? undefined
      : { firstMs: nowMs - unsaved.firstAgoMs, lastMs: nowMs - unsaved.lastAgoMs };
  return continuousDueMs(everyMs, last, span, nowMs);
}

const earlier = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);

function reasonOf(after: HookOutcome | undefined): string | undefined {
  return after === undefined
    ? undefined
    : `the snapshot was made, but the hook after it failed: ${after.reason}`;
}
