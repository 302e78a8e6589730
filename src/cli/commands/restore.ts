import { Option } from "commander";
import { z } from "zod";
import { compileGlobs } from "../../base/glob.ts";
import { displayPath } from "../../base/paths.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { RestoreResult } from "../../control/api.ts";
import { exitStatusOfRestore } from "../exit-codes.ts";
import { counted, listing, printable } from "../text.ts";
import { bytesArgument, localPath, narrowing, parseTarget, repeated } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";
import { narrowLatest, noteFound, noteMoment } from "./narrow-latest.ts";

const options = z.object({
  ...narrowing,
  target: z.string(),
  include: repeated,
  exclude: repeated,
  overwrite: z.enum(["if-changed", "always", "never"]),
  delete: z.boolean().default(false),
  dryRun: z.boolean().default(false),
  partial: z.boolean().default(false),
});

export const restoreCommand: AddCommand = (program, bind) => {
  const command = program
    .command("restore")
    .description("bring a snapshot's files back; run it again after an interruption, it goes on")
    .argument("[snapshot[:path]]", "with PATH: its contents go directly into the target")
    .requiredOption("--target <dir>", "where to; absolute paths are made below it")
    .option("--include <glob>", "only what matches; may be repeated", collect)
    .option("--exclude <glob>", "not what matches; may be repeated", collect)
    .addOption(
      new Option("--overwrite <when>", "what to do with files that are there")
        .choices(["if-changed", "always", "never"])
        .default("if-changed"),
    )
    .option("--delete", "remove from the target what the snapshot does not have")
    .option("--dry-run", "only say what would be done")
    .option("--partial", "restore what can be had, even if not all of it can");
  narrowLatest(command);
  bind(command, options, [0, 1, 2, 3, 5, 6, 10, 11, 130], async (session, given, args) => {
    const { selector, path } = parseTarget(args[0], given, session.world);
    noteMoment(session, given.at);
    const target = localPath(given.target, session.world);
    const includes = given.include.map(bytesArgument);
    const excludes = given.exclude.map(bytesArgument);
    for (const patterns of [includes, excludes]) compileGlobs(patterns, { coversBelow: true });
    const request = {
      ...selector,
      ...(path === undefined ? {} : { path }),
      target,
      includes,
      excludes,
      overwrite: given.overwrite,
      delete: given.delete,
      dryRun: given.dryRun,
      partial: given.partial,
    };
    const result = await session.daemon.restore(request, session.context);
    await session.result({ type: "summary", ...result }, () => restoreText(result, displayPath(target)));
    noteFound(session, given, result);
    if (!session.json) for (const text of remarks(result)) session.note(text);
    return exitStatusOfRestore(result);
  });
  return command;
};

function restoreText(result: RestoreResult, target: string): string {
  const what =
    `${counted(result.files, "file")}, ${counted(result.directories, "directory", "directories")}, ` +
    `${formatBytes(result.bytes)}`;
  if (result.dryRun)
    return `would restore ${what} into ${printable(target)}${alsoDeleted(result, "would delete")}\n`;
  const checked = result.verified ? "every byte verified" : "NOT every byte was verified";
  return (
    `restored ${what} into ${printable(target)} in ${formatDuration(result.durationMs)}; ` +
    `${formatBytes(result.bytesFetched)} fetched, ${checked}${alsoDeleted(result, "deleted")}\n`
  );
}

function alsoDeleted({ deleted }: RestoreResult, verb: string): string {
  return deleted === 0 ? "" : `; ${verb} ${counted(deleted, "entry", "entries")}`;
}

function remarks(result: RestoreResult): string[] {
  const texts: string[] = [];
  if (result.skippedUnchanged > 0)
    texts.push(`${counted(result.skippedUnchanged, "file")} already there as in the snapshot.`);
  if (result.skippedExisting > 0)
    texts.push(`${counted(result.skippedExisting, "file")} left alone because of --overwrite never.`);
  if (result.ownersNotRestored > 0)
    texts.push(
      `Owners were not set on ${counted(result.ownersNotRestored, "entry", "entries")}: the daemon does not run as root.`,
    );
  if (result.problemCount > 0)
    texts.push(
      listing(
        `${counted(result.problemCount, "thing")} could not be restored:`,
        result.problems.map(({ path, what, reason }) => `${path}: ${what} (${reason})`),
        result.problemCount,
      ),
    );
  return texts;
}
