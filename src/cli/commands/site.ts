import { z } from "zod";
import { must } from "../../base/assert.ts";
import { decisionText } from "../decision-text.ts";
import { EXIT } from "../exit-codes.ts";
import { printableLines } from "../text.ts";
import { usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({ cancel: z.boolean().default(false) });

export const siteCommand: AddCommand = (program, bind) => {
  const group = program.command("site").description("sites of nodes");
  const command = group
    .command("move")
    .argument("<peer>", "its name, its peer id or the beginning of it")
    .argument("[site]", "where it is from now on")
    .description("say that a node is at another site: after a day, or at once by two administrators")
    .option("--cancel", "take back every move of this node that waits");
  bind(command, options, [0, 1, 2, 5, 6, 10], async (session, { cancel }, args) => {
    const [peer, site] = args;
    if (cancel === (site !== undefined))
      throw usage("Give either a site or --cancel, which takes back every move of this node that waits.");
    const request = { peer: must(peer, "peer"), cancel, ...(site === undefined ? {} : { site }) };
    const result = await session.daemon.siteMove(request, session.context);
    await session.result(result, () =>
      printableLines(decisionText(result, `${result.name} is at site ${result.site}`)),
    );
    return EXIT.done;
  });
  return group;
};
