import type { Fault } from "../base/fault.ts";

/**
 * Whether this life of the owner may still act. Once it is up, nothing is signed and nobody is asked for anything:
 * every way out throws the fault that says why. One for a node; in memory, since what raises it is on disk elsewhere.
 */
export class Fence {
  #why: Fault | undefined;

  raise(why: Fault): void {
    this.#why = why;
  }

  lower(): void {
    this.#why = undefined;
  }

  get why(): Fault | undefined {
    return this.#why;
  }

  /** Throws `FENCED`, `REMOVED` or `NOT_A_MEMBER` while it is up. */
  check(): void {
    if (this.#why !== undefined) throw this.#why;
  }
}
