import type { Command } from "commander";
import type { SnapshotSource } from "../../control/api.ts";
import { localTimeText, type TypedMoment } from "../local-time.ts";
import type { Session } from "../session.ts";
import { shortId } from "../text.ts";
import { collect } from "./collect.ts";

export const AT_OPTION = [
  "--at <time>",
  'latest at or before "2026-11-03 14:00": local time, or with Z or +01:00',
] as const;

export const SOURCE_OPTION = [
  "--source <host[:path]>",
  "of this machine, and of this path or one that it is in",
] as const;

/** The options that `narrowing` of values.ts reads, for commands that take `latest`. */
export function narrowLatest(command: Command): Command {
  return command
    .option("--tag <tag>", "narrow latest to this tag; may be repeated", collect)
    .option("--path <path>", "narrow latest to this path; may be repeated", collect)
    .option(...SOURCE_OPTION)
    .option(...AT_OPTION);
}

/** Which moment was understood, on standard error: a time zone that was not meant is seen before anything is done. */
export function noteMoment(session: Session, at: TypedMoment | undefined): void {
  if (at !== undefined && !session.json) session.note(`At ${at.text}:`);
}

/** Which snapshot it was, where a time or a machine was asked for. */
export function noteFound(
  session: Session,
  { at, source }: { readonly at?: TypedMoment | undefined; readonly source?: SnapshotSource | undefined },
  found: { readonly snapshotId: string; readonly time: string },
): void {
  if ((at === undefined && source === undefined) || session.json) return;
  session.note(`Snapshot ${shortId(found.snapshotId)} of ${localTimeText(Date.parse(found.time))}.`);
}
