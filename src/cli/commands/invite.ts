import { z } from "zod";
import { proposalText } from "../decision-text.ts";
import { EXIT } from "../exit-codes.ts";
import { printableLines } from "../text.ts";
import { countValue, durationValue, sizeValue } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({
  site: z.string(),
  expires: durationValue,
  uses: countValue,
  quota: sizeValue.optional(),
});

export const inviteCommand: AddCommand = (program, bind) => {
  const command = program
    .command("invite")
    .description("print a join token for a new node at a site")
    .requiredOption("--site <name>", "the site the new node will be at")
    .option("--expires <duration>", "how long the token is good for", "24h")
    .option("--uses <n>", "how many nodes may use it", "1")
    .option(
      "--quota <size>",
      "how much each may have stored at others, all shards together (default: no bound)",
    );
  bind(command, options, [0, 1, 2, 5, 6, 10], async (session, { site, expires, uses, quota }) => {
    const bound = quota === undefined ? {} : { quotaBytes: quota };
    const request = { site, expiresMs: expires, uses, ...bound };
    const invited = await session.daemon.invite(request, session.context);
    // The token alone, so that it can be piped; whoever has it gets in.
    await session.result(invited, () => `${invited.token}\n`);
    const { proposal } = invited;
    if (proposal !== undefined && proposal.state !== "done") {
      session.note(`The token lets nobody in yet. ${printableLines(proposalText("proposed", proposal))}`);
    }
    return EXIT.done;
  });
  return command;
};
