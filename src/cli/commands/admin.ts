import type { Command } from "commander";
import { z } from "zod";
import { must } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { AdminChangeResult } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import type { Bind } from "../session.ts";
import { counted, printable, shortTime, table } from "../text.ts";
import { countValue } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { addExport, addImport } from "./admin-key.ts";

export const adminCommand: AddCommand = (program, bind) => {
  const group = program.command("admin").description("administrators, and what they alone may do");
  addList(group, bind);
  addAdd(group, bind);
  addRemove(group, bind);
  addThreshold(group, bind);
  addConfirm(group, bind);
  addExport(group, bind);
  addImport(group, bind);
  return group;
};

const PEER = "its name, its peer id or the beginning of it";
const HEADER = ["NAME", "SITE", "HERE", "SINCE (UTC)", "KEY"];

function addList(group: Command, bind: Bind): void {
  const command = group.command("list").description("who may sign what the swarm goes by");
  bind(command, z.object({}), [0, 1, 5, 10], async (session) => {
    const result = await session.daemon.adminList({}, session.context);
    await session.result(result, () => {
      const rows = result.administrators.map(({ key, name, site, self, since }) => [
        name ?? "-",
        site ?? "-",
        self ? "yes" : "no",
        shortTime(since),
        key,
      ]);
      const signers = `${result.threshold} of ${counted(rows.length, "administrator")} must sign.`;
      return `${table(HEADER, rows, [])}${signers}\n`;
    });
    return EXIT.done;
  });
}

function addAdd(group: Command, bind: Bind): void {
  const command = group
    .command("add")
    .argument("<peer>", PEER)
    .description("make a member's node an administrator, with the key that it has published");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { peer: must(args[0], "peer") };
    const result = await session.daemon.adminAdd(request, session.context);
    await session.result(result, () => changeText(result, request.peer));
    return EXIT.done;
  });
}

function addRemove(group: Command, bind: Bind): void {
  const command = group
    .command("remove")
    .argument("<peer>", "the node that has the key, or the beginning of the key (8 digits or more)")
    .description("a key signs nothing new from here on; what it has signed and is in effect stays");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { peer: must(args[0], "peer") };
    const result = await session.daemon.adminRemove(request, session.context);
    await session.result(result, () => changeText(result, request.peer));
    return EXIT.done;
  });
}

function changeText({ key, outcome, administrators }: AdminChangeResult, peer: string): string {
  const name = printable(peer);
  const left = `There ${administrators === 1 ? "is" : "are"} ${counted(administrators, "administrator")} now.`;
  switch (outcome) {
    case "known":
      return `${name} is an administrator already.\n`;
    case "added":
      return `${name} is an administrator from now on, with the key ${key}. ${left}\n`;
    case "removed":
      return (
        `${name} is no administrator any more: the key ${key} signs nothing new. ${left}\n` +
        "Tokens that it signed and nobody has used end; what else it signed and is in effect stays.\n"
      );
  }
}

/** The roster's rules know thresholds; gathering signatures one after the other does not exist yet. */
function addThreshold(group: Command, bind: Bind): void {
  const command = group
    .command("threshold")
    .argument("<n>", "how many administrators must sign")
    .description("only 1 in this version");
  bind(command, z.object({}), [0, 1, 2], async (session, _, args) => {
    const threshold = countValue.parse(must(args[0], "number"));
    if (threshold > 1) {
      const what =
        "This version cannot gather the signatures of several administrators: the threshold stays 1.";
      throw new Fault({ code: "UNSUPPORTED", what });
    }
    await session.result({ threshold }, () => "One administrator's signature suffices, as before.\n");
    return EXIT.done;
  });
}

function addConfirm(group: Command, bind: Bind): void {
  const command = group
    .command("confirm")
    .argument("<peer>", PEER)
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
