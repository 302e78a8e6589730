import { Fault, type FaultDetail, type SegmentShortage } from "../base/fault.ts";
import { counted, isoOf, printable, shortId, shortTime } from "./text.ts";

/** Of what a command said. */
const SAID_LINES_MAX = 20;

/** An error on standard error: one sentence, and what belongs to it. */
export function errorText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const lines = [printable(message)];
  if (error instanceof Fault) {
    const { detail } = error;
    if (detail.code === "TOO_FEW_SHARDS" || detail.code === "HEAD_UNREADABLE")
      lines.push(...shortageLines(detail.shortages));
    if (detail.code === "COMMAND_FAILED" && detail.stderr !== "") lines.push(...saidLines(detail.stderr));
    if (detail.code === "HEAD_UNREADABLE") lines.push(...readableLines(detail));
  }
  return `cairn: ${lines.join("\n")}\n`;
}

/** What a command said last, in the indent of what belongs to an error. */
export function saidLines(stderr: string): string[] {
  return stderr
    .split("\n")
    .slice(-SAID_LINES_MAX)
    .map((line) => `  ${printable(line)}`);
}

function shortageLines(shortages: readonly SegmentShortage[]): string[] {
  return shortages.slice(0, 10).map(({ segment, have, need, holders }) => {
    const names = holders.length === 0 ? "no holder known" : holders.join(", ");
    return `  segment ${segment.number}: ${have} of ${need}, ${need - have} more needed from: ${names}`;
  });
}

function readableLines({ readable, apart }: FaultDetail & { code: "HEAD_UNREADABLE" }): string[] {
  return [
    ...readable.map(
      ({ head, timeMs, snapshots, newest }) =>
        `  --head ${shortId(head)}: of ${shortTime(isoOf(timeMs))} UTC, ${counted(snapshots, "snapshot")}, ` +
        `the newest that can be read ${shortId(newest.snapshot)} of ${shortTime(isoOf(newest.timeMs))} UTC`,
    ),
    ...apart.map(
      (head) => `  --head ${shortId(head)}: another line of this repository's lives, not looked at`,
    ),
  ];
}
