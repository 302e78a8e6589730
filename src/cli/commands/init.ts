import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import type { AddCommand } from "./add-command.ts";
import { addNodeOptions, makeHome, nodeOptions, nodeSettings } from "./node-options.ts";

const options = z.object({ ...nodeOptions, site: z.string(), recoveryKeyOut: z.string().optional() });

export const initCommand: AddCommand = (program, bind) => {
  const command = addNodeOptions(
    program
      .command("init")
      .description("start a new swarm with this node as its first member and administrator")
      .requiredOption("--site <name>", "the site this node is at")
      .option("--recovery-key-out <file>", "write the recovery key to a new file instead of showing it"),
  );
  bind(command, options, [0, 1, 2], async (session, given) => {
    const { initHome, completeNewHome } = await session.world.localOperations();
    const make = () => initHome({ ...nodeSettings(session, given), site: given.site });
    await makeHome(session, given.recoveryKeyOut, make, (report) => {
      return `New swarm ${report.swarmId.slice(0, 12)}: ${report.name} at site ${report.site}.`;
    });
    await completeNewHome(session.home);
    session.note(
      'This swarm has one administrator, and its recovery key brings that key back too. Make a second one soon, at another site: "cairn admin add PEER".',
    );
    return EXIT.done;
  });
  return command;
};
