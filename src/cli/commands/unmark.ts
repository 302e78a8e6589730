import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { printable, shortId, shortTime } from "../text.ts";
import { narrowing, parseTarget, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { narrowLatest, noteMoment } from "./narrow-latest.ts";

export const unmarkCommand: AddCommand = (program, bind) => {
  const command = program
    .command("unmark")
    .description(
      "say that a marked snapshot was looked at: it and those before it are left to retention again",
    )
    .argument("[snapshot]", "an id, the beginning of one, or latest");
  narrowLatest(command);
  bind(command, z.object(narrowing), [0, 1, 2, 5, 6, 10], async (session, given, args) => {
    const { selector, path } = parseTarget(args[0], given, session.world);
    if (path !== undefined) throw usage("A snapshot is marked as a whole: leave the path out.");
    noteMoment(session, given.at);
    const result = await session.daemon.unmark(selector, session.context);
    await session.result(result, () => {
      const what = `snapshot ${shortId(result.snapshotId)} of ${shortTime(result.time)} UTC`;
      if (result.marks.length === 0) return `${what} was not marked\n`;
      const lines = result.marks.map(({ kind, text }) => `  ${kind}: ${printable(text)}\n`);
      return `${what} is not marked any more; it was:\n${lines.join("")}`;
    });
    return EXIT.done;
  });
  return command;
};
