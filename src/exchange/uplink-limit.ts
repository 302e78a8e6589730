import { Semaphore } from "../base/concurrency.ts";
import { SECOND_MS } from "../base/units.ts";
import type { Clock } from "../ports/index.ts";

/** The rate may be another one by then: a window of the day begins or ends, or somebody changes the policy. */
const LOOK_AGAIN_MS = 10 * SECOND_MS;

/**
 * Keeps the shards that this node sends, for its snapshots and for repair, within what its policy says of the uplink. What
 * was sent is paid for by waiting before the next shard, at the rate of the time that is waited.
 */
export class UplinkLimit {
  readonly #clock: Clock;
  readonly #turn = new Semaphore(1);
  #bytesPerSecond: () => number | undefined = () => undefined;
  #owedBytes = 0;
  #owedAtMs: number;
  #waiting = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#owedAtMs = clock.monotonicMs();
  }

  /** @param bytesPerSecond asked again and again; `undefined`: as much as the line takes */
  follow(bytesPerSecond: () => number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Shards that wait to be sent. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How long nothing more is to be sent, if the rate stays; 0: now it may. */
  leftMs(): number {
    const rate = this.#pay();
    return rate === undefined ? 0 : (this.#owedBytes / rate) * SECOND_MS;
  }

  /** Of what did not wait: whatever comes after it does. */
  sent(bytes: number): void {
    const rate = this.#pay();
    if (rate !== undefined) this.#owedBytes += bytes;
  }

  /** Resolves when so much may be sent. Throws the signal's reason. */
  async room(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond() === undefined && this.#waiting === 0) return;
    this.#waiting++;
    try {
      await this.#turn.run(async () => {
        signal?.throwIfAborted();
        for (let leftMs = this.leftMs(); leftMs > 0; leftMs = this.leftMs())
          await this.#clock.sleep(Math.min(LOOK_AGAIN_MS, Math.ceil(leftMs)), signal);
        this.sent(bytes);
      });
    } finally {
      this.#waiting--;
    }
  }

  /** What was owed is paid at the rate of now: nobody waits longer than `LOOK_AGAIN_MS` without looking. */
  #pay(): number | undefined {
    const nowMs = this.#clock.monotonicMs();
    const rate = this.#bytesPerSecond();
    const paid = rate === undefined ? this.#owedBytes : (rate * (nowMs - this.#owedAtMs)) / SECOND_MS;
    this.#owedBytes = Math.max(0, this.#owedBytes - paid);
    this.#owedAtMs = nowMs;
    return rate;
  }
}
