import { z } from "zod";
import { must } from "../../base/assert.ts";
import { formatBytes } from "../../base/units.ts";
import type { QuotaResult } from "../../control/api.ts";
import { proposalText } from "../decision-text.ts";
import { EXIT } from "../exit-codes.ts";
import { printableLines } from "../text.ts";
import { sizeValue } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

export const quotaCommand: AddCommand = (program, bind) => {
  const command = program
    .command("quota")
    .argument("<peer>", "its name, its peer id or the beginning of it")
    .argument("<size>", 'how much its owner may have stored at others, all shards together, or "none"')
    .description("bound what a node's owner may store at others from now on");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const peer = must(args[0], "peer");
    const size = must(args[1], "size");
    const request = size === "none" ? { peer } : { peer, quotaBytes: sizeValue.parse(size) };
    const result = await session.daemon.quota(request, session.context);
    await session.result(result, () => printableLines(quotaText(result)));
    return EXIT.done;
  });
  return command;
};

function quotaText({ name, outcome, quotaBytes, proposal }: QuotaResult): string {
  if (proposal !== undefined && proposal.state !== "done") return proposalText(outcome, proposal);
  const quota = quotaBytes === undefined ? "no bound" : `${formatBytes(quotaBytes)} at others`;
  const since = outcome === "known" ? "has that already" : "from now on";
  return `${name}: ${quota}, ${since}. What is stored stays.\n`;
}
