import { z } from "zod";
import type { EntryInfo } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { modeText, pathForOutput, printable, shortTime } from "../text.ts";
import { narrowing, parseTarget } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { narrowLatest, noteFound, noteMoment } from "./narrow-latest.ts";

const options = z.object({
  ...narrowing,
  long: z.boolean().default(false),
  recursive: z.boolean().default(false),
});

export const lsCommand: AddCommand = (program, bind) => {
  const command = program
    .command("ls")
    .description("list a snapshot: everything in it, or with PATH what is directly in that directory")
    .argument("[snapshot[:path]]", "an id, the beginning of one, or latest")
    .option("-l, --long", "mode, owner, size and time as well")
    .option("-R, --recursive", "with PATH: also what is further down");
  narrowLatest(command);
  bind(command, options, [0, 1, 2, 5, 6, 10, 11, 130], async (session, given, args) => {
    const { selector, path } = parseTarget(args[0], given, session.world);
    noteMoment(session, given.at);
    const recursive = given.recursive || path === undefined;
    const request = { ...selector, recursive, ...(path === undefined ? {} : { path }) };
    const entries = session.daemon.ls(request, session.context);
    for (;;) {
      const next = await entries.next();
      if (next.done === true) {
        noteFound(session, given, next.value);
        if (session.json) await session.out.json({ type: "summary", ...next.value });
        return EXIT.done;
      }
      if (session.json) await session.out.json(next.value);
      else await session.out.write(...entryLine(session, next.value, given.long));
    }
  });
  return command;
};

export function entryLine(session: Session, entry: EntryInfo, long: boolean): (string | Uint8Array)[] {
  const path = pathForOutput(entry, session.toTerminal);
  if (!long) return [path, "\n"];
  const user = printable(entry.user ?? String(entry.uid)).padEnd(8);
  const group = printable(entry.group ?? String(entry.gid)).padEnd(8);
  const size = String(entry.size).padStart(12);
  const fields = `${modeText(entry.type, entry.mode)} ${user} ${group} ${size} ${shortTime(entry.mtime)} `;
  const target = entry.target === undefined ? "" : ` -> ${printable(entry.target)}`;
  return [fields, path, `${target}\n`];
}
