import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Node } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso } from "./node-json.ts";
import { showPath } from "./paths-json.ts";
import type * as requests from "./requests.ts";
import type * as results from "./results.ts";

const PHASES = { plan: "plan", fetch: "fetch", metadata: "write" } as const;

export async function restoreHandler(
  node: Node,
  request: requests.RestoreRequest,
  context: CommandContext,
): Promise<results.RestoreResult> {
  const startedMs = node.ports.clock.monotonicMs();
  const snapshot = await node.repository.find(request);
  const { path, includes, excludes, target, overwrite, dryRun, partial } = request;
  try {
    const { report, bytesFetched } = await node.repository.restore({
      snapshot,
      selection: { ...(path === undefined ? {} : { path }), includes, excludes },
      target,
      overwrite,
      delete: request.delete,
      dryRun,
      partial,
      signal: context.signal,
      onProgress: ({ phase, ...counts }) =>
        context.progress({ type: "progress", phase: PHASES[phase], ...counts }),
    });
    return {
      snapshotId: toHex(snapshot.id),
      time: iso(snapshot.timeMs),
      files: report.files,
      directories: report.directories,
      bytes: report.bytes,
      bytesFetched,
      // Nothing gets past the reader without its frame authenticated and its chunk's id checked.
      verified: !dryRun,
      skippedUnchanged: report.skippedUnchanged,
      skippedExisting: report.skippedExisting,
      deleted: report.deleted,
      ownersNotRestored: report.ownersNotRestored,
      problems: report.problems.map(({ path: at, what, reason }) => ({ ...showPath(at), what, reason })),
      problemCount: report.problemCount,
      dryRun,
      durationMs: Math.round(node.ports.clock.monotonicMs() - startedMs),
    };
  } catch (error) {
    if (context.signal.aborted) throw new Fault({ code: "INTERRUPTED" }, { cause: error });
    throw error;
  }
}
