import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { LockInfo, SnapshotInfo } from "../../control/index.ts";
import { EXIT } from "../exit-codes.ts";
import { shortId, shortTime, table } from "../text.ts";
import { localPath, selecting } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";
import { SOURCE_OPTION } from "./narrow-latest.ts";

const HEADER = ["ID", "TIME (UTC)", "HOST", "STATE", "FILES", "SIZE", "SITES", "NODES"];
const HEADER_END = ["TAGS", "PATHS"];

function lockText(lock: LockInfo | undefined): string {
  if (lock === undefined) return "";
  return lock.until === undefined
    ? `${lock.acknowledged} of ${lock.holders} holders`
    : `until ${shortTime(lock.until)}`;
}

export const snapshotsCommand: AddCommand = (program, bind) => {
  const command = program
    .command("snapshots")
    .description("the snapshots there are, oldest first; SITES and NODES: how many of each may be lost")
    .option("--tag <tag>", "only those with this tag; may be repeated", collect)
    .option("--path <path>", "only those of this path; may be repeated", collect)
    .option(...SOURCE_OPTION);
  bind(command, z.object(selecting), [0, 1, 2, 5, 6, 10], async (session, { tag, path, source }) => {
    const paths = path.map((each) => localPath(each, session.world));
    const request = { tags: tag, paths, ...(source === undefined ? {} : { source }) };
    const { snapshots } = await session.daemon.snapshots(request, session.context);
    await session.result(snapshots, () => {
      if (snapshots.length === 0) return "no snapshots\n";
      // Only where there is something in it: most swarms lock nothing.
      const isLocking = snapshots.some(({ lock }) => lock !== undefined);
      const header = [...HEADER, ...(isLocking ? ["LOCK"] : []), ...HEADER_END];
      const rows = snapshots.map((snapshot) => [
        shortId(snapshot.snapshotId),
        shortTime(snapshot.time),
        snapshot.host,
        snapshot.state,
        String(snapshot.files),
        formatBytes(snapshot.bytes),
        String(snapshot.survives.sites),
        String(snapshot.survives.nodes),
        ...(isLocking ? [lockText(snapshot.lock)] : []),
        `${snapshot.tags.join(",")}${snapshot.pinned ? " (pinned)" : ""}${markText(snapshot)}`.trim(),
        snapshot.paths.join(" "),
      ]);
      return table(header, rows, ["FILES", "SIZE", "SITES", "NODES"]);
    });
    return EXIT.done;
  });
  return command;
};

function markText({ marks = [] }: SnapshotInfo): string {
  return marks.map(({ kind }) => ` (MARKED: ${kind})`).join("");
}
