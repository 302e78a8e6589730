import type { ShardId } from "../base/ids.ts";
import { formatDuration } from "../base/units.ts";
import type { Node } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso } from "./node-json.ts";
import type { Alert, StatusResult } from "./results.ts";
import * as api from "./scrub-api.ts";

const PAGE = 500;
const ASIDE = "What is set aside waits until its owner puts it here again; it asks for that once a day.";

export async function scrubHandler(
  node: Node,
  request: api.ScrubRequest,
  context: CommandContext,
): Promise<api.ScrubResult> {
  const { scrub, watch, ports } = node;
  const startedMs = ports.clock.monotonicMs();
  if (request.acceptMissing) await watch.accept();
  if (request.action === "pause") await scrub.pause();
  if (request.action === "resume") await scrub.resume();
  const ran = request.action === "now";
  const now = ran
    ? await scrub.now(context.signal, ({ bytes, bytesTotal }) =>
        context.progress({
          type: "progress",
          phase: "scrub",
          bytes,
          bytesTotal: Math.max(bytes, bytesTotal),
        }),
      )
    : undefined;
  const status = await scrub.status();
  const counts = now ?? status.round;
  const disk = await watch.look();
  const waiting = await scrub.waiting();
  return {
    ran,
    complete: counts.complete,
    scanned: counts.scanned,
    corrupt: counts.corrupt,
    quarantined: counts.quarantined,
    repaired: 0,
    bytesRead: counts.bytes,
    bytesMoved: 0,
    waiting,
    bad: await badShards(node),
    paused: status.paused,
    disk: disk.state === "gone" ? { ...disk, since: iso(disk.sinceMs) } : disk,
    oldestUnverifiedMs: Math.round(status.oldestUnverifiedMs),
    periodMs: status.periodMs,
    roundStartedAt: iso(status.round.startedMs),
    durationMs: Math.round(ports.clock.monotonicMs() - startedMs),
    notes: waiting === 0 ? [] : [ASIDE],
  };
}

async function badShards(node: Node): Promise<api.BadShard[]> {
  const bad: api.BadShard[] = [];
  for await (const one of quarantined(node)) {
    if (node.ports.shards.stat(one.id) !== undefined) continue;
    bad.push({ ...nameOf(one.id), bytes: one.bytes, reason: one.reason, since: iso(one.sinceMs) });
    if (bad.length >= api.BAD_LISTED_MAX) break;
  }
  return bad;
}

export async function* shardsHandler(
  node: Node,
  request: api.ShardsRequest,
): AsyncGenerator<api.ShardInfo, api.ShardsResult, void> {
  const sum = { shards: 0, bytes: 0 };
  const owner = request.owner ?? "";
  for await (const shard of request.quarantined ? setAside(node) : held(node)) {
    if (!shard.ownerId.startsWith(owner)) continue;
    sum.shards++;
    sum.bytes += shard.bytes;
    yield shard;
  }
  return sum;
}

async function* held({ ports: { shards } }: Node): AsyncGenerator<api.ShardInfo> {
  let after: ShardId | undefined;
  for (;;) {
    const page = await shards.list(after, PAGE);
    for (const { id, bytes } of page) yield { ...nameOf(id), bytes, ...shards.locate(id) };
    after = page.at(-1)?.id;
    if (page.length < PAGE) return;
  }
}

async function* setAside(node: Node): AsyncGenerator<api.ShardInfo> {
  for await (const { id, bytes, reason, sinceMs } of quarantined(node))
    yield { ...nameOf(id), bytes, reason, since: iso(sinceMs) };
}

async function* quarantined({ ports: { shards } }: Node) {
  let after: ShardId | undefined;
  for (;;) {
    const page = await shards.quarantined(after, PAGE);
    yield* page;
    after = page.at(-1)?.id;
    if (page.length < PAGE) return;
  }
}

function nameOf({ owner, incarnation, number, index }: ShardId) {
  return { ownerId: owner, incarnation, number, index };
}

/** What `status` says of it, and what somebody should look into. */
export async function scrubStanding(
  node: Node,
): Promise<{ scrub: NonNullable<StatusResult["scrub"]>; alerts: Alert[] }> {
  const { oldestUnverifiedMs, periodMs, paused, round, last } = await node.scrub.status();
  const waiting = await node.scrub.waiting();
  const { state } = node.watch;
  const alerts: Alert[] = [];
  if (state.state === "gone") {
    alerts.push({
      code: "shards-disk-gone",
      text: `The disk with others' shards is not there: ${state.reason}. This node serves none until it is back; if it is lost for good, say so with "cairn scrub --accept-missing".`,
    });
  }
  if (waiting > 0) {
    alerts.push({
      code: "shards-quarantined",
      text: `${waiting} shard(s) of others were found to be bad and are set aside; "cairn scrub" lists them. Is this disk failing?`,
    });
  }
  if (oldestUnverifiedMs > periodMs) {
    alerts.push({
      code: "scrub-behind",
      text: `Some bytes were not read again for ${formatDuration(oldestUnverifiedMs)}; the bound is ${formatDuration(periodMs)}.${paused ? " The scrub is paused." : ""}`,
    });
  }
  const scrub = {
    oldestUnverifiedMs: Math.round(oldestUnverifiedMs),
    corrupt: round.complete ? (last?.corrupt ?? 0) : round.corrupt,
    quarantined: waiting,
    paused,
    disk: state.state,
  };
  return { scrub, alerts };
}
