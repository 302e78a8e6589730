import { readFile } from "node:fs/promises";
import { Option } from "commander";
import { z } from "zod";
import { compileGlobs, parsePatternFile } from "../../base/glob.ts";
import { type BytePath, pathBytes } from "../../base/paths.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { SnapshotResult } from "../../control/api.ts";
import { CommandSource } from "../command-source.ts";
import { saidLines } from "../error-text.ts";
import { exitStatusOfSnapshot } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { counted, listing, shortId, survivesText } from "../text.ts";
import {
  bytesArgument,
  durationValue,
  localPath,
  pathInSnapshot,
  profileValue,
  repeated,
  tagList,
  usage,
} from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";

const options = z.object({
  tag: tagList,
  exclude: repeated,
  excludeFile: repeated,
  oneFileSystem: z.boolean().default(false),
  profile: profileValue,
  wait: z.enum(["safe", "queued"]),
  stdin: z.boolean().default(false),
  set: z.string().optional(),
  stdinFromCommand: z.boolean().default(false),
  commandTimeout: durationValue.optional(),
  stdinFilename: z.string().default("stdin"),
});
type Options = z.output<typeof options>;

export const snapshotCommand: AddCommand = (program, bind) => {
  const command = program
    .command("snapshot")
    .description("save files to the swarm")
    .argument(
      "[paths...]",
      "files and directories to save; with --stdin-from-command, behind --, the command",
    )
    .option("--set <name>", "save a set of the policy now, with its hooks")
    .option("--tag <tag>", "a word to find it by; may be repeated", collect)
    .option("--exclude <glob>", "leave out what matches; may be repeated", collect)
    .option("--exclude-file <file>", "patterns to leave out, one a line; may be repeated", collect)
    .option("--one-file-system", "do not go into other file systems")
    .option("--profile <k+m>", "data and parity shards, such as 6+3", "auto")
    .addOption(
      new Option("--wait <until>", "return when safe, or when everything is queued on this machine")
        .choices(["safe", "queued"])
        .default("safe"),
    )
    .option("--stdin", "save what comes in on standard input")
    .option("--stdin-from-command", "save what a command writes, if it succeeds: -- COMMAND ARGUMENTS")
    .option("--command-timeout <duration>", "stop the command after so long and make no snapshot, such as 2h")
    .option("--stdin-filename <name>", "the file's name in the snapshot", "stdin");
  bind(command, options, [0, 1, 2, 3, 4, 5, 6, 10, 130], async (session, given, args) => {
    checkSource(given, args);
    const result = await save(session, given, args);
    await session.result({ type: "summary", ...result }, () => snapshotText(result));
    if (!session.json) for (const text of remarks(result)) session.note(text);
    return exitStatusOfSnapshot(result);
  });
  return command;
};

function checkSource(given: Options, args: readonly string[]): void {
  if (given.set !== undefined) {
    const { tag, exclude, excludeFile, oneFileSystem, stdin, stdinFromCommand, profile } = given;
    const more = tag.length + exclude.length + excludeFile.length + args.length > 0;
    if (more || oneFileSystem || stdin || stdinFromCommand || profile.profile !== undefined)
      throw usage("What a set is and how it is saved is in the policy: give --set NAME alone.");
    return;
  }
  if (given.stdinFromCommand) {
    if (given.stdin) throw usage("Give either --stdin or --stdin-from-command, not both.");
    if (args.length === 0)
      throw usage("Say which command: cairn snapshot --stdin-from-command -- pg_dump shop");
    if (args.some((word) => !word.isWellFormed())) throw usage("The arguments of a command must be UTF-8.");
    return;
  }
  if (given.commandTimeout !== undefined) throw usage("--command-timeout goes with --stdin-from-command.");
  if (given.stdin === args.length > 0)
    throw usage(
      given.stdin ? "Give either --stdin or paths, not both." : "Give at least one path, or --stdin.",
    );
}

function save(session: Session, given: Options, args: readonly string[]): Promise<SnapshotResult> {
  if (given.set !== undefined) return session.daemon.snapshotSet({ set: given.set }, session.context);
  if (given.stdinFromCommand) return saveCommand(session, given, args);
  return given.stdin ? saveStdin(session, given) : savePaths(session, given, args);
}

async function saveCommand(
  session: Session,
  given: Options,
  argv: readonly string[],
): Promise<SnapshotResult> {
  const { commandTimeout } = given;
  const source = new CommandSource(argv, commandTimeout === undefined ? {} : { timeoutMs: commandTimeout });
  const request = { filename: pathInSnapshot(given.stdinFilename), ...shared(given) };
  const result = await session.daemon.snapshotStdin(request, session.context, source.output());
  const { bytes, stderr } = source.outcome;
  const notes = [...result.notes];
  if (bytes === 0) notes.push("The command wrote nothing: the file in the snapshot is empty.");
  if (stderr !== "") notes.push(["The command said:", ...saidLines(stderr)].join("\n"));
  return { ...result, notes };
}

async function savePaths(session: Session, given: Options, args: readonly string[]): Promise<SnapshotResult> {
  const excludes = given.exclude.map(bytesArgument);
  for (const file of given.excludeFile)
    excludes.push(...(await readPatterns(localPath(file, session.world))));
  // Compiled once here, so that a malformed pattern is refused before anything is read.
  compileGlobs(excludes, { coversBelow: true });
  const request = {
    paths: args.map((path) => localPath(path, session.world)),
    excludes,
    oneFileSystem: given.oneFileSystem,
    ...shared(given),
  };
  return await session.daemon.snapshot(request, session.context);
}

async function saveStdin(session: Session, given: Options): Promise<SnapshotResult> {
  const request = { filename: pathInSnapshot(given.stdinFilename), ...shared(given) };
  return await session.daemon.snapshotStdin(request, session.context, session.world.stdin);
}

function shared({ tag, wait, profile }: Options) {
  return { tags: tag, wait, ...(profile.profile === undefined ? {} : { profile: profile.profile }) };
}

async function readPatterns(file: BytePath): Promise<BytePath[]> {
  try {
    return parsePatternFile(await readFile(pathBytes(file)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw usage(`The exclude file cannot be read: ${reason}.`);
  }
}

function snapshotText(result: SnapshotResult): string {
  const sizes =
    `${counted(result.files, "file")}, ${counted(result.directories, "directory", "directories")}: ` +
    `${formatBytes(result.bytesRead)} read, ${formatBytes(result.bytesNew)} new, ` +
    `${formatBytes(result.bytesStored)} stored in ${counted(result.segments, "segment")} (${result.profile}), ` +
    `${formatDuration(result.durationMs)}`;
  return `snapshot ${shortId(result.snapshotId)} ${result.state}: ${meaning(result)}\n${sizes}\n`;
}

function meaning({ state, survives }: SnapshotResult): string {
  switch (state) {
    case "safe":
    case "full":
      return `survives ${survivesText(survives)}`;
    case "placed":
      return "everything is placed, but this swarm's sites cannot cover the loss of one";
    case "pending":
      return "it would not survive the loss of some site yet; the daemon goes on placing it";
    case "partial":
      return "not everything was saved; run it again to go on from here";
  }
}

function remarks(result: SnapshotResult): string[] {
  const texts = [...result.notes];
  const { unreadable, changed, skipped } = result;
  if (result.unreadableCount > 0)
    texts.push(
      listing(
        `${counted(result.unreadableCount, "path")} could not be read and ${result.unreadableCount === 1 ? "is" : "are"} not in the snapshot:`,
        unreadable.map(({ path, errno }) => `${path} (${errno})`),
        result.unreadableCount,
      ),
    );
  if (result.changedCount > 0)
    texts.push(
      listing(
        `${counted(result.changedCount, "file")} changed while being read, saved as read:`,
        changed.map(({ path }) => path),
        result.changedCount,
      ),
    );
  if (result.skippedCount > 0)
    texts.push(
      listing(
        `${counted(result.skippedCount, "path")} left out by rule:`,
        skipped.map(({ path, reason }) => `${path} (${reason})`),
        result.skippedCount,
      ),
    );
  return texts;
}
