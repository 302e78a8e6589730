import { Fault } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS, SECOND_MS } from "../base/units.ts";
import type { Clock, FileTree, TreeWatch, TreeWatcher, WatchScope } from "../ports/index.ts";
import { rescan } from "./rescan.ts";

export interface SetWatchInit {
  readonly set: string;
  /** How soon after a change a snapshot should have been made. */
  readonly everyMs: number;
  readonly scope: WatchScope;
  readonly clock: Clock;
  readonly log: Log;
  readonly watcher: TreeWatcher;
  readonly tree: Pick<FileTree, "lstat" | "list" | "isHome">;
}

export type WatchMode =
  | { readonly how: "opening" }
  | { readonly how: "watching"; readonly directories: number }
  /** `why`: what keeps it from watching. */
  | { readonly how: "rescanning"; readonly why: string };

/** Ages, not times: they mean the same whatever is done to the clock. */
export interface SetSight {
  readonly mode: WatchMode;
  /** Of the changes that are in no snapshot, the oldest and the newest; absent: none is known. */
  readonly unsaved?: { readonly firstAgoMs: number; readonly lastAgoMs: number };
  /** Up to when it is known that all changes are told above. */
  readonly knownAgoMs: number;
}

const LOOK_MS = 2 * SECOND_MS;
/** What kept it from watching may have been mended: a limit raised, a path made. */
const WATCH_AGAIN_MS = HOUR_MS;
/** Of the time that rescans may take: one in ten. */
const RESCAN_REST = 9;

interface Span {
  readonly firstMs: number;
  readonly lastMs: number;
}

/**
 * Knows since when a set has changes that are in no snapshot. It begins by not knowing: until a snapshot was begun while
 * everything was seen, there are changes.
 */
export class SetWatch {
  readonly #c: SetWatchInit;
  readonly #stopping = new AbortController();
  #mode: WatchMode = { how: "opening" };
  #watch: TreeWatch | undefined;
  /** By time that never goes back, as everything here. */
  #unsaved: Span | undefined;
  /** What was unsaved when the snapshot under way began. */
  #beingSaved: Span | undefined;
  #knownMs: number;
  #lastPrint: string | undefined;
  /** Why the watch lost something; it is whole again once the next snapshot begins. */
  #lost: string | undefined;
  /** Why the watch cannot be made whole. */
  #refusal: string | undefined;
  #loop: Promise<void> | undefined;

  constructor(init: SetWatchInit) {
    this.#c = init;
    const nowMs = init.clock.monotonicMs();
    this.#knownMs = nowMs;
    this.#unsaved = { firstMs: nowMs, lastMs: nowMs };
  }

  start(): void {
    this.#loop = this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    await this.#loop;
  }

  get sight(): SetSight {
    const nowMs = this.#c.clock.monotonicMs();
    const span = joined(this.#beingSaved, this.#unsaved);
    const mode =
      this.#mode.how === "watching" && this.#watch !== undefined
        ? { how: "watching" as const, directories: this.#watch.directories }
        : this.#mode;
    return {
      mode,
      ...(span === undefined
        ? {}
        : { unsaved: { firstAgoMs: nowMs - span.firstMs, lastAgoMs: nowMs - span.lastMs } }),
      knownAgoMs: nowMs - this.#knownMs,
    };
  }

  /** A snapshot begins: what was changed until now will be in it, noticed or not. */
  async begin(): Promise<void> {
    const isComplete = await this.#seesAll();
    const nowMs = this.#c.clock.monotonicMs();
    this.#beingSaved = joined(this.#beingSaved, this.#unsaved);
    // From now on something may go unseen: it counts as a change.
    this.#unsaved = isComplete ? undefined : { firstMs: nowMs, lastMs: nowMs };
  }

  async #seesAll(): Promise<boolean> {
    const watch = this.#watch;
    if (watch === undefined || this.#mode.how !== "watching") return this.#lastPrint !== undefined;
    const refusal = await watch.renew();
    if (refusal !== undefined) {
      this.#refusal = refusal;
      return false;
    }
    const { changed, complete } = watch.look();
    if (changed) this.#note();
    return complete && this.#watch === watch;
  }

  /** It has ended. Without a snapshot everything is as unsaved as before. */
  end(made: boolean): void {
    if (!made) this.#unsaved = joined(this.#beingSaved, this.#unsaved);
    this.#beingSaved = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const why = await this.#watchTillRefused(signal);
      if (signal.aborted) break;
      if (this.#mode.how !== "rescanning" || this.#mode.why !== why)
        this.#c.log.warn("watch-refused", { set: this.#c.set, why });
      this.#mode = { how: "rescanning", why };
      await this.#rescanFor(WATCH_AGAIN_MS, signal);
    }
  }

  /** Why it cannot be watched any more; after `signal` whatever. */
  async #watchTillRefused(signal: AbortSignal): Promise<string> {
    const { log, set, scope, watcher } = this.#c;
    const opened = await watcher.open(scope, signal);
    if (!opened.ok) return opened.reason;
    const { watch } = opened;
    this.#watch = watch;
    // What was changed before it was opened, nobody saw; rescans before it may have left that to it.
    this.#note();
    this.#lastPrint = undefined;
    this.#mode = { how: "watching", directories: watch.directories };
    log.info("watch-opened", { set, directories: watch.directories });
    this.#refusal = undefined;
    while (!signal.aborted && this.#refusal === undefined) {
      this.#look(watch);
      await this.#sleep(LOOK_MS, signal);
    }
    watch.close();
    this.#watch = undefined;
    return this.#refusal ?? "";
  }

  /**
   * Takes over what was noticed. What was lost is found again when the next snapshot begins: until then there are changes
   * anyway, and whatever overflows the watch would only overflow it again.
   */
  #look(watch: TreeWatch): void {
    const { changed, lost } = watch.look();
    if (changed || (lost !== undefined && lost !== this.#lost)) this.#note();
    if (lost !== undefined && lost !== this.#lost)
      this.#c.log.info("watch-lost", { set: this.#c.set, why: lost });
    this.#lost = lost;
    if (lost === undefined) this.#knownMs = this.#c.clock.monotonicMs();
  }

  async #rescanFor(forMs: number, signal: AbortSignal): Promise<void> {
    const { clock, everyMs, scope, tree } = this.#c;
    const beganMs = clock.monotonicMs();
    while (!signal.aborted && clock.monotonicMs() - beganMs < forMs) {
      const startMs = clock.monotonicMs();
      try {
        const print = await rescan(tree, scope, signal);
        // Some time since the one before began.
        if (print !== this.#lastPrint) this.#note(this.#knownMs);
        this.#lastPrint = print;
        this.#knownMs = startMs;
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      const tookMs = clock.monotonicMs() - startMs;
      await this.#sleep(Math.max(everyMs / 2, tookMs * RESCAN_REST), signal);
    }
  }

  #note(sinceMs = this.#c.clock.monotonicMs()): void {
    this.#unsaved = joined(this.#unsaved, { firstMs: sinceMs, lastMs: this.#c.clock.monotonicMs() });
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#c.clock.sleep(ms, signal).catch(() => {});
  }
}

function joined(a: Span | undefined, b: Span | undefined): Span | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { firstMs: Math.min(a.firstMs, b.firstMs), lastMs: Math.max(a.lastMs, b.lastMs) };
}
