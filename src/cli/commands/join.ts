import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { counted } from "../text.ts";
import type { AddCommand } from "./add-command.ts";
import { addNodeOptions, makeHome, nodeOptions, nodeSettings } from "./node-options.ts";

const options = z.object({
  ...nodeOptions,
  site: z.string().optional(),
  recoveryKeyOut: z.string().optional(),
});

export const joinCommand: AddCommand = (program, bind) => {
  const command = addNodeOptions(
    program
      .command("join")
      .description("make this machine a member of a swarm, with a repository of its own")
      .argument("<token>", `what "cairn invite" printed`)
      .option("--site <name>", "must be the token's site, if given")
      .option("--recovery-key-out <file>", "write the recovery key to a new file instead of showing it"),
  );
  bind(command, options, [0, 1, 2, 6], async (session, given, args) => {
    const { joinHome, completeNewHome } = await session.world.localOperations();
    const site = given.site === undefined ? {} : { site: given.site };
    const token = (args[0] ?? "").trim();
    const make = () => joinHome({ ...nodeSettings(session, given), ...site, token });
    await makeHome(session, given.recoveryKeyOut, make, (report) => {
      const members = counted(report.members, "member");
      return `Joined swarm ${report.swarmId.slice(0, 12)} of ${members}: ${report.name} at site ${report.site}.`;
    });
    await completeNewHome(session.home);
    return EXIT.done;
  });
  return command;
};
