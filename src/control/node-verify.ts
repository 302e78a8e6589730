import type { Node } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { survivesJson } from "./node-json.ts";
import type * as requests from "./requests.ts";
import { LISTED_MAX, type SegmentCheck, type VerifyResult } from "./results.ts";

export async function verifyHandler(
  node: Node,
  request: requests.VerifyRequest,
  context: CommandContext,
): Promise<VerifyResult> {
  const startedMs = node.ports.clock.monotonicMs();
  const { repository } = node;
  const { selector, readData } = request;
  const entries = selector === undefined ? await repository.snapshots() : [await repository.find(selector)];
  const outcome = await repository.verify(entries, {
    readData,
    signal: context.signal,
    onShard: (done, total) =>
      context.progress({ type: "progress", phase: "check", segments: done, segmentsTotal: total }),
  });
  const segments = outcome.segments
    .map(
      ({ ref, incarnation, k, n, proven, claimed, missing, corrupt, elsewhere }): SegmentCheck => ({
        incarnation,
        number: ref.number,
        k,
        m: n - k,
        proven,
        claimed,
        missing,
        corrupt,
        elsewhere,
        margin: proven + claimed - k,
      }),
    )
    .sort((a, b) => a.margin - b.margin);
  const sum = (field: "proven" | "claimed" | "missing" | "elsewhere"): number =>
    segments.reduce((total, one) => total + one[field], 0);
  const worstMargin = segments[0]?.margin ?? 0;
  const short = outcome.segments.filter(({ k, proven, claimed }) => proven + claimed < k);
  const { segments: table } = repository.catalog;
  const spooled = short.filter(({ ref }) => table.get(ref)?.spooled === true).length;
  const newest = entries.at(-1);
  const protection = newest === undefined ? undefined : await repository.protectionOf(newest);
  const isWhole = segments.every((one) => one.missing + one.corrupt + one.elsewhere === 0);
  const isSafe = protection === undefined || protection.state === "safe" || protection.state === "full";
  return {
    snapshots: entries.length,
    state: short.length > spooled ? "unreadable" : isWhole && isSafe ? "ok" : "weak",
    segmentCount: segments.length,
    segments: segments.slice(0, LISTED_MAX),
    proven: sum("proven"),
    claimed: sum("claimed"),
    missing: sum("missing"),
    elsewhere: sum("elsewhere"),
    shardsChecked: outcome.shardsChecked,
    corrupt: outcome.corrupt.slice(0, LISTED_MAX).map(({ shard, peer, reason }) => ({
      incarnation: shard.incarnation,
      number: shard.number,
      index: shard.index,
      peer,
      reason,
    })),
    corruptCount: outcome.corrupt.length,
    worstMargin,
    survives: survivesJson(protection?.survival),
    bytesRead: outcome.bytesRead,
    readData,
    durationMs: Math.round(node.ports.clock.monotonicMs() - startedMs),
    notes: [
      ...(spooled === 0
        ? []
        : [`${spooled} segment(s) can be read on this machine only: they wait in its spool for holders.`]),
      ...(sum("elsewhere") === 0
        ? []
        : [
            `${sum("elsewhere")} shard(s) were found with peers that no map names, which need not keep them: a restore reads them now; ` +
              "cairn repair --now has them made anew where they belong.",
          ]),
    ],
  };
}
