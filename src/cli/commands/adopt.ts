import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { counted } from "../text.ts";
import type { AddCommand } from "./add-command.ts";
import { makeHome } from "./node-options.ts";

const options = z.object({
  recoveryKeyOut: z.string().optional(),
  discardPending: z.boolean().default(false),
});

export const adoptCommand: AddCommand = (program, bind) => {
  const command = program
    .command("adopt")
    .description("make a node that was recovered elsewhere, or removed, a node of its own again")
    .argument("<token>", `what "cairn invite" printed`)
    .option("--recovery-key-out <file>", "write the new recovery key to a new file instead of showing it")
    .option("--discard-pending", "give up snapshots of this home that are whole nowhere else");
  bind(command, options, [0, 1, 2, 6, 10], async (session, given, args) => {
    const { adoptHome, completeAdoption } = await session.world.localOperations();
    const { home } = session;
    const { discardPending, recoveryKeyOut } = given;
    const make = () => adoptHome({ home, token: (args[0] ?? "").trim(), discardPending });
    await makeHome(session, recoveryKeyOut, make, (report) => {
      const members = counted(report.members, "member");
      return `A node of its own again in swarm ${report.swarmId.slice(0, 12)} of ${members}: ${report.name} at site ${report.site}.`;
    });
    await completeAdoption(home);
    return EXIT.done;
  });
  return command;
};
