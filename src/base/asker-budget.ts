import type { PeerId } from "./ids.ts";

export interface AskerBudgetInit {
  /** For one asker in a window. */
  readonly each: number;
  /** For all of them together: many that ask for their share each would cost many times as much. @default no bound but each one's */
  readonly all?: number;
  readonly windowMs: number;
}

/** What others may have done here in a window of time, each of them and all together. Nothing is spent by who is refused. */
export class AskerBudget {
  readonly #clock: { monotonicMs(): number };
  readonly #init: AskerBudgetInit;
  readonly #taken = new Map<PeerId, number>();
  #takenByAll = 0;
  #sinceMs: number;

  constructor(clock: { monotonicMs(): number }, init: AskerBudgetInit) {
    this.#clock = clock;
    this.#init = init;
    this.#sinceMs = clock.monotonicMs();
  }

  /** Whether it may have so much more. */
  take(peer: PeerId, amount: number): boolean {
    const { each, all = Number.POSITIVE_INFINITY, windowMs } = this.#init;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sinceMs >= windowMs) {
      this.#sinceMs = nowMs;
      this.#taken.clear();
      this.#takenByAll = 0;
    }
    const taken = (this.#taken.get(peer) ?? 0) + amount;
    const takenByAll = this.#takenByAll + amount;
    if (taken > each || takenByAll > all) return false;
    this.#taken.set(peer, taken);
    this.#takenByAll = takenByAll;
    return true;
  }
}
