import { z } from "zod";
import type { AddCommand } from "./add-command.ts";

/** The simulator is a program of its own with options of its own; the daemon's commands never load it. */
export const simCommand: AddCommand = (program, bind) => {
  const command = program
    .command("sim")
    .description(
      'run whole swarms in virtual time through faults, and check what must hold; "cairn sim help" says more',
    )
    .argument("[arguments...]", "run [SCENARIO.json] [--seed N] [--count N] ...")
    .allowUnknownOption()
    .helpOption(false);
  bind(command, z.object({}), [0, 1, 2, 3], async ({ world }) => {
    const { argv } = world;
    return world.simulate(argv.slice(argv.indexOf("sim") + 1));
  });
  return command;
};
