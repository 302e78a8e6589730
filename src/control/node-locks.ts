import { formatDuration, HOUR_MS } from "../base/units.ts";
import type { LockStanding, Node } from "../node/index.ts";
import type * as api from "./locks-api.ts";
import type { Alert } from "./results.ts";

/** Until then holders that are away come back, or others take their place. */
const PATIENCE_MS = 24 * HOUR_MS;

export function lockJson(standing: LockStanding | undefined): { lock?: api.LockInfo } {
  if (standing === undefined) return {};
  const { state, holders } = standing;
  return {
    lock:
      standing.state === "locked"
        ? { state, until: new Date(standing.untilMs).toISOString(), holders, acknowledged: holders }
        : { state, holders, acknowledged: standing.done },
  };
}

/** Nothing is said of locks where there are none. */
export async function locksStandingOf(
  node: Node,
): Promise<{ standing: { locks?: api.LocksStanding }; alerts: Alert[] }> {
  const { repository } = node;
  const nowMs = node.ports.clock.wallMs();
  const standings = (await repository.snapshots()).flatMap(
    (entry) => repository.locks.standingOf(entry) ?? [],
  );
  const locking = standings.filter((one) => one.state === "locking");
  const heldSegments = node.locks.status.segments;
  const late = locking.filter(({ sinceMs }) => nowMs - sinceMs > PATIENCE_MS);
  const [oldest] = [...late].sort((a, b) => a.sinceMs - b.sinceMs);
  const alerts: Alert[] =
    oldest === undefined
      ? []
      : [
          {
            code: "locks-outstanding",
            text: `${late.length} snapshot(s) are not locked by all who hold them, the oldest for ${formatDuration(nowMs - oldest.sinceMs)} (${oldest.done} of ${oldest.holders} holders): "lock-refused" in the log says why. It is tried again every minute.`,
          },
        ];
  if (standings.length === 0 && heldSegments === 0) return { standing: {}, alerts };
  const locks = { locked: standings.length - locking.length, locking: locking.length, heldSegments };
  return { standing: { locks }, alerts };
}
