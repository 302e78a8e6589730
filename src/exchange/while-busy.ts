import { isFault } from "../base/fault.ts";
import type { Clock } from "../ports/index.ts";

/** A peer that has no room for a request at the moment is asked again after each of these: 7 tries within about 16 s. */
const BUSY_WAITS_MS = [250, 500, 1000, 2000, 4000, 8000];

/** What the request comes to, `PEER_BUSY` where the peer was that each time. Throws the signal's reason. */
export async function askedWhileBusy<T>(
  clock: Pick<Clock, "sleep">,
  ask: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      const waitMs = isFault(error, "PEER_BUSY") ? BUSY_WAITS_MS[attempt] : undefined;
      if (waitMs === undefined) throw error;
      await clock.sleep(waitMs, signal);
    }
  }
}
