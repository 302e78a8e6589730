import { formatBytes, formatDuration } from "../base/units.ts";
import type { Node, OwnerRepairStanding, RepairCensus } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso, survivesJson } from "./node-json.ts";
import type * as api from "./repair-api.ts";
import type { Alert, StatusResult } from "./results.ts";

export async function repairHandler(
  node: Node,
  { now }: api.RepairRequest,
  context: CommandContext,
): Promise<api.RepairResult> {
  const { repair } = node.repository;
  if (now) node.requireUnfenced();
  const round = now
    ? await repair.now(context.signal, (done, total) =>
        context.progress({ type: "progress", phase: "repair", segments: done, segmentsTotal: total }),
      )
    : undefined;
  const standing = repair.standing();
  const { repaired, failed, bytesIn, bytesOut } = round ?? standing.counts;
  const { census } = standing;
  return {
    now,
    scanned: round?.asked ?? standing.counts.asked,
    corrupt: round?.missing ?? standing.counts.lost,
    quarantined: 0,
    repaired,
    failed,
    bytesMoved: bytesIn + bytesOut,
    bytesRead: bytesIn,
    bytesSent: bytesOut,
    silent: round?.silent ?? 0,
    held: round?.held?.segments ?? 0,
    ...(census === undefined ? {} : { standing: standingJson(node, standing, census) }),
  };
}

function standingJson(
  node: Node,
  { queue, expectedMs, weather }: OwnerRepairStanding,
  census: RepairCensus,
): api.RepairStanding {
  const finish = queue.segments === 0 ? undefined : expectedMs;
  const { nextDueMs, shards } = census.waiting;
  return {
    lookedAt: iso(census.atMs),
    segments: census.segments,
    unknown: census.unknown,
    margin: census.margin,
    survives: survivesJson(census.survival),
    belowPolicy: census.belowPolicy,
    absentShards: census.absentShards,
    suspectShards: census.suspectShards,
    weather: weather.kind,
    queue: {
      ...queue,
      worstMargin: census.presentMargin,
      ...(finish === undefined ? {} : { expectedFinish: iso(node.ports.clock.wallMs() + finish) }),
      reasons: [...census.reasons].map(([reason, count]) => ({ reason, shards: count })),
      waiting: { shards, ...(nextDueMs === undefined ? {} : { nextDue: iso(nextDueMs) }) },
      stuck: [...census.stuck.why].slice(0, KINDS_SHOWN).map(([why, count]) => ({ why, shards: count })),
    },
  };
}

const KINDS_SHOWN = 16;

/** What `status` says of it, and what somebody should look into. */
export function repairStatus(node: Node): {
  standing: Pick<StatusResult, "queue" | "repair">;
  alerts: Alert[];
} {
  const standing = node.repository.repair.standing();
  const { census, weather, expectedMs } = standing;
  if (census === undefined || census.segments === 0) return { standing: {}, alerts: [] };
  const repair = standingJson(node, standing, census);
  const { segments, shards, bytes } = standing.queue;
  const alerts: Alert[] = [];
  if (census.belowPolicy > 0) {
    alerts.push({
      code: "protection-below-policy",
      text: `${census.belowPolicy} of ${census.segments} segment(s) do not survive what their profile is meant to survive; the lowest margin is ${census.presentMargin}.`,
    });
  }
  if (segments > 0) {
    const when = expectedMs === undefined ? "" : `, for about ${formatDuration(Math.max(1000, expectedMs))}`;
    const calm = weather.kind === "calm" ? "" : "; only what is urgent is touched just now";
    alerts.push({
      code: "repair-under-way",
      text: `${shards} shard(s) of ${segments} segment(s) are to be made anew, ${formatBytes(bytes)} to send${when}${calm}.`,
    });
  }
  const [worst] = [...census.stuck.why].sort(([, a], [, b]) => b - a);
  if (worst !== undefined) {
    alerts.push({
      code: "repair-stuck",
      text: `${census.stuck.shards} shard(s) can go nowhere: ${worst[0]}.`,
    });
  }
  return {
    standing: { queue: { segments, worstMargin: census.presentMargin }, repair },
    alerts,
  };
}
