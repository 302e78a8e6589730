import { z } from "zod";
import { compileGlobs } from "../../base/glob.ts";
import { EXIT } from "../exit-codes.ts";
import { shortId, shortTime } from "../text.ts";
import { bytesArgument, localPath, narrowing, repeated, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";
import { entryLine } from "./ls.ts";
import { AT_OPTION, noteMoment, SOURCE_OPTION } from "./narrow-latest.ts";

const options = z.object({
  ...narrowing,
  snapshot: repeated,
  ignoreCase: z.boolean().default(false),
  long: z.boolean().default(false),
});

export const findCommand: AddCommand = (program, bind) => {
  const command = program
    .command("find")
    .description("find files by name in every snapshot, newest first")
    .argument("<patterns...>", "names or paths; *, ?, [a-z] and ** have their meaning")
    .option("-i, --ignore-case", "capital and small letters are the same")
    .option("-l, --long", "mode, owner, size and time as well")
    .option("-s, --snapshot <id>", "only in this snapshot; may be repeated", collect)
    .option("--tag <tag>", "only in snapshots with this tag; may be repeated", collect)
    .option("--path <path>", "only in snapshots of this path; may be repeated", collect)
    .option(...SOURCE_OPTION)
    .option(...AT_OPTION);
  bind(command, options, [0, 1, 2, 5, 6, 10, 11, 130], async (session, given, args) => {
    const patterns = args.map(bytesArgument);
    compileGlobs(patterns, { coversBelow: false });
    if (given.at !== undefined && given.snapshot.length > 0)
      throw usage("Give either --at or --snapshot, not both.");
    if (given.source !== undefined && given.snapshot.length > 0)
      throw usage("Give either --source or --snapshot, not both.");
    noteMoment(session, given.at);
    const request = {
      patterns,
      ignoreCase: given.ignoreCase,
      snapshots: given.snapshot,
      tags: given.tag,
      paths: given.path.map((path) => localPath(path, session.world)),
      ...(given.at === undefined ? {} : { atMs: given.at.ms }),
      ...(given.source === undefined ? {} : { source: given.source }),
    };
    const found = session.daemon.find(request, session.context);
    for (;;) {
      const next = await found.next();
      if (next.done === true) {
        if (session.json) await session.out.json({ type: "summary", ...next.value });
        return EXIT.done;
      }
      const match = next.value;
      if (session.json) await session.out.json(match);
      else {
        const snapshot = `${shortId(match.snapshotId)}  ${shortTime(match.time)}  `;
        await session.out.write(snapshot, ...entryLine(session, match, given.long));
      }
    }
  });
  return command;
};
