import { z } from "zod";
import type { LogResult } from "../../control/trail-api.ts";
import { EXIT, type ExitStatus } from "../exit-codes.ts";
import type { TrailFileReport } from "../local-operations.ts";
import { readSecretFile } from "../passphrase.ts";
import { createSecretFile } from "../recovery-key.ts";
import type { Session } from "../session.ts";
import { counted, printable, shortId, shortTime, table } from "../text.ts";
import { usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({
  limit: z.string().optional(),
  verify: z.boolean().default(false),
  verifyFile: z.string().optional(),
  export: z.string().optional(),
});

const SHOWN = 50;

export const logCommand: AddCommand = (program, bind) => {
  const command = program
    .command("log")
    .description(
      "who made, pinned, restored, forgot, recovered and replaced what with this repository, and when",
    )
    .option("--limit <n>", `only the newest (default: ${SHOWN}, with --json all)`)
    .option("--verify", "whether every entry is signed and follows from the one before; 1 where one does not")
    .option("--export <file>", "write all of it to a new file that anybody can check")
    .option("--verify-file <file>", "check such a file; needs no daemon and no home");
  bind(command, options, [0, 1, 2, 3, 5], async (session, given) => {
    if (given.verifyFile !== undefined) return checkFile(session, given.verifyFile);
    const limit = given.limit === undefined ? undefined : readLimit(given.limit);
    const isExport = given.export !== undefined;
    await using file =
      given.export === undefined ? undefined : await createSecretFile(given.export, session.world);
    const asked =
      isExport || given.verify || (session.json && limit === undefined) ? undefined : (limit ?? SHOWN);
    const request = asked === undefined ? { signed: isExport } : { signed: isExport, limit: asked };
    const log = await session.daemon.log(request, session.context);
    if (file !== undefined) {
      const lines = log.entries.map(({ signed = "" }) => signed);
      await file.write([`cairn-trail1 ${log.swarmId} ${log.ownerId}`, ...lines, ""].join("\n"));
      await session.result({ file: file.path, entries: log.total, ...found(log) }, () => {
        return `${counted(log.total, "entry", "entries")} written to ${printable(file.path)}.\n${foundText(log)}`;
      });
      return standing(log);
    }
    await session.result(log, () => (given.verify ? verifiedText(log) : logText(log) + foundText(log)));
    return given.verify ? standing(log) : EXIT.done;
  });
  return command;
};

function readLimit(given: string): number {
  const limit = Number(given);
  if (Number.isInteger(limit) && limit > 0) return limit;
  throw usage(`--limit "${printable(given)}" is no number of entries.`);
}

const found = ({ problems, missing, spreadTo }: LogResult) => ({ problems, missing, spreadTo });

function standing({ problems, missing }: LogResult): ExitStatus {
  if (problems.length > 0) return EXIT.failed;
  return missing.length > 0 ? EXIT.inPart : EXIT.done;
}

function logText({ entries, total }: LogResult): string {
  const rows = entries.map(({ sequence, time, name, peerId, what, details }) => [
    String(sequence),
    shortTime(time),
    printable(name ?? shortId(peerId)),
    printable(what),
    Object.entries(details)
      .filter(([, value]) => value !== "")
      .map(
        ([key, value]) =>
          `${printable(key)} ${printable(/^[0-9a-f]{32,}$/.test(value) ? shortId(value) : value)}`,
      )
      .join(", "),
  ]);
  if (rows.length === 0) return "Nothing has been entered yet.\n";
  const more = total - rows.length;
  const rest = more > 0 ? `and ${counted(more, "older entry", "older entries")}; --limit N shows more\n` : "";
  return table(["NO", "TIME (UTC)", "NODE", "WHAT", "DETAILS"], rows, ["NO"]) + rest;
}

function verifiedText(log: LogResult): string {
  const { total, problems, missing, spreadTo, entries } = log;
  const last = entries.at(-1);
  const whole =
    problems.length === 0 && missing.length === 0
      ? `${counted(total, "entry", "entries")}, each signed and following from the one before.`
      : `${counted(total, "entry", "entries")} read.`;
  const tail = last === undefined ? "" : `The last is ${last.sequence}, ${last.hash}.\n`;
  const own = last !== undefined && last.sequence > spreadTo ? last.sequence - spreadTo : 0;
  const alone =
    own === 0
      ? ""
      : `The newest ${own} are on this machine alone until the next snapshot; what was cut off there would not show.\n`;
  return `${whole}\n${tail}${alone}${foundText(log)}`;
}

function foundText({ problems, missing }: LogResult): string {
  return [
    ...problems.map(({ sequence, reason }) => `ALTERED at entry ${sequence}: ${printable(reason)}\n`),
    ...missing.map(
      ({ from, entries, reason }) =>
        `Entries ${from} to ${from + entries - 1} cannot be read now: ${printable(reason)}\n`,
    ),
  ].join("");
}

async function checkFile(session: Session, name: string): Promise<ExitStatus> {
  const { checkTrailFile } = await session.world.localOperations();
  const report = await checkTrailFile(await readSecretFile(name, session.world, Number.POSITIVE_INFINITY));
  await session.result(report, () => fileText(report));
  return report.problems.length > 0 ? EXIT.failed : EXIT.done;
}

function fileText({ entries, from, nodes, last, problems, ownerId }: TrailFileReport): string {
  const lines = [
    `${counted(entries, "entry", "entries")} of owner ${ownerId}, from number ${from} on, signed by:`,
    ...nodes.map((node) => `  ${node}`),
    ...(last === undefined ? [] : [`The last is ${last.sequence}, ${last.hash}.`]),
    ...problems.map(({ sequence, reason }) => `ALTERED at entry ${sequence}: ${printable(reason)}`),
    ...(problems.length > 0 ? [] : ["Each is signed and follows from the one before."]),
  ];
  return `${lines.join("\n")}\n`;
}
