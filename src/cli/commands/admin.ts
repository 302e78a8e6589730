import type { Command } from "commander";
import { z } from "zod";
import { must } from "../../base/assert.ts";
import { EXIT } from "../exit-codes.ts";
import type { Bind } from "../session.ts";
import { printable } from "../text.ts";
import type { AddCommand } from "./add-command.ts";

export const adminCommand: AddCommand = (program, bind) => {
  const group = program.command("admin").description("administrators, and what they alone may do");
  addConfirm(group, bind);
  return group;
};

function addConfirm(group: Command, bind: Bind): void {
  const command = group
    .command("confirm")
    .argument("<peer>", "its name, its peer id or the beginning of it")
    .description("let a recovered node keep shards of others again");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { peer: must(args[0], "peer") };
    const result = await session.daemon.adminConfirm(request, session.context);
    await session.result(
      result,
      () => `${printable(result.name)} at site ${result.site} keeps shards of others from now on.\n`,
    );
    return EXIT.done;
  });
}
