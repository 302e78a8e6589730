import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import {
  marksOf,
  type Node,
  OWN_TAG_PREFIXES,
  type SnapshotRequest,
  type SnapshotResult,
} from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso, marksJson, survivesJson } from "./node-json.ts";
import { showPath } from "./paths-json.ts";
import type * as requests from "./requests.ts";
import type * as results from "./results.ts";

export function snapshotHandler(
  node: Node,
  request: requests.SnapshotRequest,
  context: CommandContext,
): Promise<results.SnapshotResult> {
  const { paths, excludes, oneFileSystem } = request;
  return takeSnapshot(node, request, context, { kind: "paths", paths, excludes, oneFileSystem });
}

export function snapshotStdinHandler(
  node: Node,
  request: requests.SnapshotStdinRequest,
  context: CommandContext,
  body: AsyncIterable<Uint8Array>,
): Promise<results.SnapshotResult> {
  return takeSnapshot(node, request, context, { kind: "stream", filename: request.filename, body });
}

async function takeSnapshot(
  node: Node,
  request: Pick<requests.SnapshotRequest, "tags" | "profile" | "wait">,
  context: CommandContext,
  source: SnapshotRequest["source"],
): Promise<results.SnapshotResult> {
  const own = request.tags.find((tag) => OWN_TAG_PREFIXES.some((prefix) => tag.startsWith(prefix)));
  if (own !== undefined) {
    const reason = `Tags such as "${own}" are given by cairn itself: "cairn snapshot --set" and "cairn pin" do.`;
    throw new Fault({ code: "USAGE", reason });
  }
  const { tags, wait, profile } = request;
  const settings = { source, tags, wait, ...(profile === undefined ? {} : { profile }) };
  return answerSnapshot(node, context, (call) => node.repository.snapshot({ ...settings, ...call }));
}

/** What a snapshot says to whoever asked for it, while it is made and when it is done. */
export async function answerSnapshot(
  node: Node,
  context: CommandContext,
  make: (call: Pick<SnapshotRequest, "signal" | "onProgress">) => Promise<SnapshotResult>,
): Promise<results.SnapshotResult> {
  const startedMs = node.ports.clock.monotonicMs();
  try {
    const result = await make({
      signal: context.signal,
      onProgress: ({ phase, files, bytes }) =>
        context.progress({ type: "progress", phase: phase === "capture" ? "read" : "place", files, bytes }),
    });
    return snapshotJson(node, result, node.ports.clock.monotonicMs() - startedMs);
  } catch (error) {
    // Whatever broke off when the client went away, that it went away is what happened.
    if (context.signal.aborted) throw new Fault({ code: "INTERRUPTED" }, { cause: error });
    throw error;
  }
}

function snapshotJson(node: Node, result: SnapshotResult, durationMs: number): results.SnapshotResult {
  const { entry, report, classes, protection } = result;
  return {
    snapshotId: toHex(entry.id),
    state: entry.partial ? "partial" : protection.state,
    time: iso(entry.timeMs),
    profile: classes.profile,
    files: entry.files,
    directories: entry.directories,
    bytesRead: report.bytesRead,
    bytesNew: result.bytesNew,
    bytesStored: result.bytesStored,
    segments: result.segments,
    unreadable: report.unreadable.listed.map(({ path, errno }) => ({ ...showPath(path), errno })),
    unreadableCount: report.unreadable.count,
    changed: report.changed.listed.map(({ path }) => showPath(path)),
    changedCount: report.changed.count,
    skipped: report.skipped.listed.map(({ path, reason }) => ({ ...showPath(path), reason })),
    skippedCount: report.skipped.count,
    excluded: report.excluded,
    durationMs: Math.round(durationMs),
    survives: survivesJson(protection.survival),
    ...marksJson(entry),
    notes: [...classes.notes, ...markNotes(entry), ...waitingNotes(node, protection.state)],
  };
}

function markNotes(entry: SnapshotResult["entry"]): string[] {
  return marksOf(entry).map(
    ({ text }) => `Marked, look at it: ${text}. "cairn unmark ${toHex(entry.id).slice(0, 8)}" once you have.`,
  );
}

function waitingNotes(node: Node, state: results.SnapshotState): string[] {
  const { segments } = node.repository.spool;
  if (segments === 0 && state !== "pending") return [];
  const connected = new Set(node.ports.network.connected());
  const away = node.repository.heads.pool().filter((peer) => !connected.has(peer));
  const names = away.map((peer) => node.roster.member(peer)?.name ?? peer);
  return [
    ...(segments === 0
      ? []
      : [`${segments} segment(s) wait in the spool for holders; the daemon places them by itself.`]),
    ...(names.length === 0 ? [] : [`Not reachable just now: ${names.join(", ")}.`]),
  ];
}
