import { formatDuration, HOUR_MS } from "../base/units.ts";
import type { SnapshotEntry } from "../catalog/index.ts";
import { anomaliesOf, CLOCK_TOLERANCE_MS } from "../policy/index.ts";
import type { SnapshotOutcome } from "../snapshot/index.ts";
import type { CaptureBook } from "./captures.ts";
import type { Mark } from "./marks.ts";
import { type ClockEvidence, PEERS_MIN } from "./peers-clock.ts";

/** Why somebody should look at a snapshot that has just been made; what is usual is remembered, to compare the next one with. */
export async function marksOfNew(
  captures: CaptureBook,
  { entry, bytesNew, bytesPacked }: SnapshotOutcome,
  given: {
    readonly before: readonly SnapshotEntry[];
    readonly clock: ClockEvidence | undefined;
    readonly anomalyBytes: number;
  },
): Promise<Mark[]> {
  const capture = { files: entry.files, bytes: entry.bytes, bytesNew, bytesPacked };
  const anomalies = anomaliesOf(capture, captures.of(entry), given.anomalyBytes);
  // What was unusual once does not become usual by it.
  if (anomalies.length === 0) await captures.add(entry, capture);
  const wrong = wrongClock(entry, given.before, given.clock);
  return [
    ...(anomalies.length === 0 ? [] : [{ kind: "anomaly" as const, text: anomalies.join("; ") }]),
    ...(wrong === undefined ? [] : [{ kind: "clock" as const, text: wrong }]),
  ];
}

/** By its peers' receipts, or by what this owner saved before. */
export function wrongClock(
  { timeMs, sequence }: Pick<SnapshotEntry, "timeMs" | "sequence">,
  before: readonly Pick<SnapshotEntry, "timeMs" | "sequence">[],
  clock: ClockEvidence | undefined,
): string | undefined {
  if (clock !== undefined && clock.peers >= PEERS_MIN && Math.abs(clock.aheadMs) > HOUR_MS) {
    const by = formatDuration(Math.abs(clock.aheadMs));
    return `this machine's clock was ${by} ${clock.aheadMs > 0 ? "ahead of" : "behind"} its peers'`;
  }
  const newestMs = before.reduce(
    (newest, one) => (one.sequence < sequence ? Math.max(newest, one.timeMs) : newest),
    Number.NEGATIVE_INFINITY,
  );
  return newestMs > timeMs + CLOCK_TOLERANCE_MS
    ? `this machine's clock was ${formatDuration(newestMs - timeMs)} before an earlier snapshot`
    : undefined;
}
