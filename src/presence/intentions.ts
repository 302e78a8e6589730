import { Fault } from "../base/fault.ts";
import { formatDuration } from "../base/units.ts";
import type { Clock, MetaStore } from "../ports/index.ts";
import { loadOwn, type OwnIntentions, saveOwn } from "./state.ts";

/** What this node itself says of its future, on disk so that a restart does not take it back. */
export class Intentions {
  readonly #store: MetaStore;
  readonly #clock: Pick<Clock, "wallMs">;
  readonly #outageMaxMs: number;
  readonly #listeners = new Set<() => void>();
  #own: OwnIntentions;

  constructor(store: MetaStore, clock: Pick<Clock, "wallMs">, init: { readonly outageMaxMs: number }) {
    this.#store = store;
    this.#clock = clock;
    this.#outageMaxMs = init.outageMaxMs;
    this.#own = loadOwn(store);
  }

  get draining(): boolean {
    return this.#own.draining;
  }

  /** End of the outage that was announced, while it lies ahead. */
  get outageUntilMs(): number | undefined {
    const { outageUntilMs } = this.#own;
    return outageUntilMs !== undefined && outageUntilMs > this.#clock.wallMs() ? outageUntilMs : undefined;
  }

  /** Throws `USAGE` for one that nobody would believe. `undefined` ends it. */
  async announceOutage(forMs: number | undefined): Promise<number | undefined> {
    if (forMs !== undefined && (forMs <= 0 || forMs > this.#outageMaxMs)) {
      const reason = `An outage is announced for at most ${formatDuration(this.#outageMaxMs)}.`;
      throw new Fault({ code: "USAGE", reason });
    }
    const outageUntilMs = forMs === undefined ? undefined : this.#clock.wallMs() + Math.round(forMs);
    await this.#set({ ...this.#own, outageUntilMs });
    return outageUntilMs;
  }

  async setDraining(draining: boolean): Promise<void> {
    if (draining !== this.#own.draining) await this.#set({ ...this.#own, draining });
  }

  /** Called when something here has changed and is on disk. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #set(own: OwnIntentions): Promise<void> {
    await saveOwn(this.#store, own);
    this.#own = own;
    for (const listener of [...this.#listeners]) listener();
  }
}
