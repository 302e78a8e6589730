import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { DrainResult } from "../../control/api.ts";
import { exitStatusOfDrain } from "../exit-codes.ts";
import { counted, listing, shortId, shortTime } from "../text.ts";
import { usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const flag = z.boolean().default(false);
const options = z.object({ status: flag, cancel: flag, detach: flag });

export const drainCommand: AddCommand = (program, bind) => {
  const command = program
    .command("drain")
    .description(
      "leave the swarm: move the shards held here to other nodes first, then say when to switch off",
    )
    .option("--detach", "do not wait; the daemon goes on by itself, over restarts")
    .option("--status", "how far it is")
    .option("--cancel", "stay; what was moved stays where it is now");
  bind(command, options, [0, 1, 2, 4, 5, 6, 10, 130], async (session, { status, cancel, detach }) => {
    if (Number(status) + Number(cancel) + Number(detach) > 1)
      throw usage("--status, --cancel and --detach exclude each other.");
    const action = status ? "status" : cancel ? "cancel" : "begin";
    const wait = action === "begin" && !detach;
    const result = await session.daemon.drain({ action, wait }, session.context);
    await session.result(result, () => drainText(result));
    return exitStatusOfDrain(result);
  });
  return command;
};

function drainText(result: DrainResult): string {
  const { state, shardsLeft, bytesLeft, bytesMoved, expectedAt, shardsUnknown, shardsSurplus } = result;
  const left = `${counted(shardsLeft, "shard")} left (${formatBytes(bytesLeft)})`;
  const expected = expectedAt === undefined ? "" : `, expected to end at ${shortTime(expectedAt)} UTC`;
  const surplus =
    shardsSurplus === 0 ? "" : `${counted(shardsSurplus, "copy", "copies")} here are looked for elsewhere.\n`;
  switch (state) {
    case "none":
      return "This node stays in the swarm.\n";
    case "draining":
      return `Draining: ${left}, ${formatBytes(bytesMoved)} moved${expected}. Leave this node on.\n`;
    case "done":
      return `Done: nobody looks for shards here any more. This node may be switched off.\n${surplus}`;
    case "stuck": {
      const rows = result.stuck.map(({ ownerId, row, why }) => `${shortId(ownerId)} ${row}: ${why}`);
      const unknown =
        shardsUnknown === 0 ? "" : `${counted(shardsUnknown, "shard")} of which no map is known here.\n`;
      return `STUCK: ${left} with nowhere to go for now. Do NOT switch this node off; it is tried again.\n${unknown}${listing("Rows:", rows)}`;
    }
  }
}
