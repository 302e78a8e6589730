import { z } from "zod";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { EXIT } from "../exit-codes.ts";
import { addKeySource, keySourceOptions, readKeySource } from "../key-source.ts";
import type { RecoverReport, RecoverSnapshot } from "../local-operations.ts";
import { counted, printable, shortId, shortTime, table } from "../text.ts";
import { repeated, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";
import { addNodeOptions, nodeOptions, nodeSettings } from "./node-options.ts";

const options = z.object({
  ...nodeOptions,
  ...keySourceOptions,
  peer: repeated,
  token: z.string().optional(),
  site: z.string().optional(),
  readOnly: z.boolean().default(false),
  head: z.string().optional(),
  acceptHead: z.string().optional(),
});
type Options = z.output<typeof options>;

export const recoverCommand: AddCommand = (program, bind) => {
  const command = addNodeOptions(
    addKeySource(
      program.command("recover").description("bring a lost machine's repository back onto this one"),
    )
      .option("--peer <addr>", "a member that can be reached; may be repeated", collect)
      .option("--token <token>", "or a join token")
      .option("--site <name>", "the site this machine is at, if it is another than before")
      .option("--read-only", "only look and restore; the old machine goes on")
      .option("--head <id>", "go back to an older state of the repository")
      .option(
        "--accept-head <id>",
        "go on from this state although not more than half of the peers answered",
      ),
    "as before",
  );
  bind(command, options, [0, 1, 2, 4, 6, 11, 12, 130], async (session, given) => {
    if (given.peer.length === 0 && given.token === undefined)
      throw usage("Say how to reach the swarm: --peer ADDR of any member, or --token TOKEN.");
    const words = await readKeySource(session, given);
    const { recoverHome } = await session.world.localOperations();
    const report = await recoverHome({
      ...nodeSettings(session, given),
      ...chosen(given),
      keepsName: given.name === undefined,
      words,
      peers: given.peer,
      readOnly: given.readOnly,
      signal: session.signal,
      onProgress: (event) => session.showProgress(event),
    });
    await session.result({ type: "summary", ...report }, () => recoverText(report));
    if (!session.json) for (const warning of report.warnings) session.note(`Warning: ${printable(warning)}`);
    const isUndecided = report.readOnlyBecause !== undefined && report.readOnlyBecause !== "asked";
    return isUndecided ? EXIT.belowPolicy : EXIT.done;
  });
  return command;
};

function chosen({ token, site, head, acceptHead }: Options) {
  return {
    ...(token === undefined ? {} : { token }),
    ...(site === undefined ? {} : { site }),
    ...(head === undefined ? {} : { head }),
    ...(acceptHead === undefined ? {} : { acceptHead }),
  };
}

const HEADS_SHOWN = 8;
const SNAPSHOTS_SHOWN = 20;

function recoverText(report: RecoverReport): string {
  const { members, heads, silent } = report;
  const [best] = heads;
  const newest = best === undefined ? "no head found" : `newest head ${formatDuration(best.ageMs)} old`;
  const lines = [
    `Repository ${shortId(report.ownerId)}: ${members.answered} of ${members.asked} answered, ${newest}.`,
    ...silent
      .slice(0, HEADS_SHOWN)
      .map(
        ({ name, site, reason }) =>
          `  no answer from ${printable(name)} at ${printable(site)}: ${printable(reason)}`,
      ),
    ...(silent.length > HEADS_SHOWN
      ? [`  and from ${silent.length - HEADS_SHOWN} more; --json lists them`]
      : []),
    "",
    ...[headsText(report), snapshotsText(report)].filter((block) => block !== ""),
    `${counted(report.snapshots, "snapshot")} found, ${formatBytes(report.bytesFetched)} fetched.`,
    ...(report.readOnly ? ["Read-only: the old machine, if it lives, goes on."] : enteredLines(report)),
    report.snapshots === 0
      ? 'Start the node with "cairn daemon".'
      : 'Start the node with "cairn daemon", then "cairn restore latest --target DIR".',
  ];
  return `${lines.join("\n")}\n`;
}

function missingText({ segmentsMissing = 0, segmentsAtRemoved = 0 }: RecoverSnapshot): string {
  const parts = [
    segmentsMissing === 0 ? "" : `${counted(segmentsMissing, "segment")} out of reach`,
    segmentsAtRemoved === 0 ? "" : `${counted(segmentsAtRemoved, "segment")} at removed nodes`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

function enteredLines({ name, site }: RecoverReport): string[] {
  return [
    `This machine is ${printable(name)} at site ${printable(site)} now; the old one may not write any more.`,
    `It keeps nothing for others until an administrator says "cairn admin confirm ${printable(name)}".`,
  ];
}

/** Older heads of one life follow from each other: what is shown is what somebody may have to choose from. */
function headsText({ heads }: RecoverReport): string {
  const lives = new Set<string>();
  const notable = heads.filter(({ incarnation, chosen, fork, tooFarAhead }) => {
    const isFirst = !lives.has(incarnation);
    lives.add(incarnation);
    return isFirst || chosen || fork || tooFarAhead;
  });
  const rows = (notable.length < 2 ? heads : notable)
    .slice(0, HEADS_SHOWN)
    .map((head) => [
      shortId(head.id),
      shortTime(head.time),
      `${formatDuration(head.ageMs)} old`,
      shortId(head.incarnation),
      String(head.epoch),
      String(head.shownBy),
      [
        head.chosen ? "chosen" : "",
        head.certified ? "certified" : "",
        head.fork ? "fork" : "",
        head.tooFarAhead ? "too far ahead" : "",
      ]
        .filter((note) => note !== "")
        .join(", "),
    ]);
  if (rows.length === 0) return "";
  const more = heads.length - rows.length;
  const header = ["HEAD", "TIME (UTC)", "AGE", "LIFE", "EPOCH", "SHOWN BY", "NOTE"];
  const rest = more > 0 ? `and ${counted(more, "older head")}; --json lists them\n` : "";
  return `${table(header, rows, ["EPOCH", "SHOWN BY"])}${rest}`;
}

function snapshotsText({ snapshotList, members }: RecoverReport): string {
  const rows = snapshotList
    .slice(0, SNAPSHOTS_SHOWN)
    .map((snapshot) => [
      shortId(snapshot.snapshotId),
      shortTime(snapshot.time),
      snapshot.state ?? "-",
      missingText(snapshot),
      String(snapshot.files),
      formatBytes(snapshot.bytes),
      snapshot.paths.join(" "),
      snapshot.fromHead === undefined ? "" : `from head ${shortId(snapshot.fromHead)}`,
    ]);
  const more = snapshotList.length - rows.length;
  const header = ["SNAPSHOT", "TIME (UTC)", "STATE", "MISSING", "FILES", "SIZE", "PATHS", "NOTE"];
  const rest = more > 0 ? `and ${counted(more, "older snapshot")}; --json lists them\n` : "";
  // Else "pending" reads as if the snapshot were lost.
  const partly =
    members.answered < members.asked ? "STATE counts only what the members that answered have.\n" : "";
  return rows.length === 0 ? "" : `${table(header, rows, ["FILES", "SIZE"])}${rest}${partly}`;
}
