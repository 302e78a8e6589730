import { z } from "zod";
import { must } from "../../base/assert.ts";
import { decisionText } from "../decision-text.ts";
import { EXIT } from "../exit-codes.ts";
import { printableLines } from "../text.ts";
import { usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

export const reasonValue = z.string().transform((text) => {
  if (text.length <= 200) return text;
  throw usage("A reason has at most 200 characters.");
});

const options = z.object({
  reason: reasonValue.default(""),
  bar: z.boolean().default(false),
  cancel: z.boolean().default(false),
});

export const removeCommand: AddCommand = (program, bind) => {
  const command = program
    .command("remove")
    .argument("<peer>", "its name, its peer id or the beginning of it")
    .description(
      "declare a node gone for good: after a day, or at once when a second administrator says so too",
    )
    .option("--reason <text>", "what everybody reads in the log")
    .option("--bar", "its recovery key brings it back no more, either")
    .option("--cancel", "take back a removal that is waiting");
  bind(command, options, [0, 1, 2, 5, 6, 10], async (session, { reason, bar, cancel }, args) => {
    if (cancel && (bar || reason !== "")) throw usage("--cancel takes neither --reason nor --bar.");
    const request = { peer: must(args[0], "peer"), reason, barsOwner: bar, cancel };
    const result = await session.daemon.remove(request, session.context);
    await session.result(result, () => {
      const text = printableLines(decisionText(result, `${result.name} is no member any more`).trimEnd());
      const key = result.administratorKey;
      if (key === undefined) return `${text}\n`;
      return `${text}\nIts administrator's key still counts: "cairn admin remove ${key.slice(0, 12)}" ends that.\n`;
    });
    return EXIT.done;
  });
  return command;
};
