import { describe, expect, it } from "vitest";
import type { Clock } from "../../src/ports/clock.ts";

export interface ClockCase {
  readonly clock: Clock;
  /** Lets so much of the clock's time pass, at least. */
  pass(ms: number): Promise<void>;
}

/** The contract of src/ports/clock.ts. */
export function clockContract(name: string, make: () => ClockCase): void {
  describe(`Clock: ${name}`, () => {
    it("counts on, and has a plausible date", async () => {
      const { clock, pass } = make();
      const [wall, monotonic] = [clock.wallMs(), clock.monotonicMs()];
      await pass(30);
      expect(clock.monotonicMs() - monotonic).toBeGreaterThanOrEqual(30);
      expect(clock.wallMs()).toBeGreaterThan(wall);
      expect(wall).toBeGreaterThan(Date.UTC(2024, 0, 1));
    });

    it("never ends a sleep early, and wakes in the order of time", async () => {
      const { clock, pass } = make();
      const begin = clock.monotonicMs();
      const woken: number[] = [];
      const sleeps = [40, 0, 80, 20, -5].map(async (ms) => {
        await clock.sleep(ms);
        expect(clock.monotonicMs() - begin).toBeGreaterThanOrEqual(ms);
        woken.push(ms);
      });
      await pass(150);
      await Promise.all(sleeps);
      expect(woken.slice(2)).toEqual([20, 40, 80]);
    });

    it("an aborted sleep rejects with the signal's reason, at once if it was aborted before", async () => {
      const { clock, pass } = make();
      const reason = new Error("enough");
      const controller = new AbortController();
      const early = expect(clock.sleep(3_600_000, AbortSignal.abort(reason))).rejects.toBe(reason);
      const late = expect(clock.sleep(3_600_000, controller.signal)).rejects.toBe(reason);
      await early;
      controller.abort(reason);
      await late;
      const unharmed = clock.sleep(10, new AbortController().signal);
      await pass(20);
      await unharmed;
    });

    it("aborting after the end changes nothing", async () => {
      const { clock, pass } = make();
      const controller = new AbortController();
      const sleep = clock.sleep(5, controller.signal);
      await pass(10);
      await sleep;
      controller.abort();
    });
  });
}
