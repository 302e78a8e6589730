import { DAY_MS } from "../base/units.ts";
import type { Clock } from "../ports/index.ts";
import { type Schedule, transferMs } from "../upkeep/index.ts";

export interface PaceComponents {
  readonly clock: Clock;
  readonly schedule: Schedule;
  /** What local time is ahead of UTC, now: the schedule has a day and a night. */
  readonly localOffsetMs: () => number;
  /** What everything that this node sends shares. */
  readonly uplink?: { leftMs(): number; sent(bytes: number): void } | undefined;
}

/** Keeps what repair sends within its share of the uplink: pays for a segment by waiting before the next. */
export class Pace {
  readonly #c: PaceComponents;
  /** When what was sent so far is paid for, on the monotonic clock. */
  #paidMs = 0;

  constructor(components: PaceComponents) {
    this.#c = components;
  }

  /** How long nothing more is to be sent; 0: now it may. */
  leftMs(): number {
    const { clock, uplink } = this.#c;
    return Math.max(0, this.#paidMs - clock.monotonicMs(), Math.ceil(uplink?.leftMs() ?? 0));
  }

  sent(bytes: number): void {
    this.#c.uplink?.sent(bytes);
    const nowMs = this.#c.clock.monotonicMs();
    // Where nothing may be sent by day, a day is waited, and what was sent before the rule came is forgotten.
    const ms = Math.min(DAY_MS, this.forecastMs(bytes));
    this.#paidMs = Math.max(this.#paidMs, nowMs) + ms;
  }

  /** How long so many bytes take by the schedule, from now on; infinity where nothing may be sent. */
  forecastMs(bytes: number): number {
    return transferMs(this.#c.schedule, localTimeOfDay(this.#c), bytes);
  }
}

function localTimeOfDay({ clock, localOffsetMs }: PaceComponents): number {
  return (((clock.wallMs() + localOffsetMs()) % DAY_MS) + DAY_MS) % DAY_MS;
}
