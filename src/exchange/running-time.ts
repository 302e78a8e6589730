import { z } from "zod";
import { HOUR_MS } from "../base/units.ts";
import type { Clock, MetaOp, MetaStore } from "../ports/index.ts";
import { codec, count } from "../wire/codec.ts";

/** At most so much of what a process ran is not counted when it is killed; what waits for it then waits longer, never shorter. */
const SAVED_EVERY_MS = HOUR_MS;

export const runningEntry = codec("running time", z.object({ v: z.literal(1), ms: count }).strict());

/** How long this home's daemon has run, over all its processes: nobody can set it forward. */
export class RunningTime {
  readonly #store: MetaStore;
  readonly #key: Uint8Array;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #startedMs: number;
  readonly #beforeMs: number;
  #savedMs: number;

  constructor(components: { store: MetaStore; clock: Pick<Clock, "monotonicMs"> }, key: Uint8Array) {
    this.#store = components.store;
    this.#key = key;
    this.#clock = components.clock;
    this.#startedMs = components.clock.monotonicMs();
    const before = components.store.get(key);
    this.#beforeMs = before === undefined ? 0 : runningEntry.decode(before).ms;
    this.#savedMs = this.#beforeMs;
  }

  get ms(): number {
    return this.#beforeMs + Math.max(0, Math.floor(this.#clock.monotonicMs() - this.#startedMs));
  }

  /** To go along with another write. */
  op(): MetaOp {
    this.#savedMs = this.ms;
    return { type: "put", key: this.#key, value: runningEntry.encode({ v: 1, ms: this.ms }) };
  }

  async saveNowAndThen(): Promise<void> {
    if (this.ms - this.#savedMs >= SAVED_EVERY_MS) await this.#store.write([this.op()], { sync: false });
  }
}
