import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { narrowing, parseTarget, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { narrowLatest, noteMoment } from "./narrow-latest.ts";

export const catCommand: AddCommand = (program, bind) => {
  const command = program
    .command("cat")
    .description("write one file of a snapshot to standard output")
    .argument("<snapshot:file>", "the file, by its absolute path");
  narrowLatest(command);
  bind(command, z.object(narrowing), [0, 1, 2, 5, 6, 10, 11, 130], async (session, given, args) => {
    const { selector, path } = parseTarget(args[0], given, session.world);
    noteMoment(session, given.at);
    if (path === undefined) throw usage(`Say which file: "cairn cat ${selector.snapshot}:/path/of/file".`);
    for await (const bytes of session.daemon.cat({ ...selector, path }, session.context))
      await session.out.write(bytes);
    return EXIT.done;
  });
  return command;
};
