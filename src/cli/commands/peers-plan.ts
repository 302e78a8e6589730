import type { Command } from "commander";
import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { PlanResult } from "../../control/plan-api.ts";
import { EXIT } from "../exit-codes.ts";
import type { Bind } from "../session.ts";
import { counted, listing, survivesText, table } from "../text.ts";

const several = z.array(z.string()).default([]);
const options = z.object({ remove: several, removeSite: several });

export function addPeersPlan(group: Command, bind: Bind): void {
  const command = group
    .command("plan")
    .description(
      "what the removal of nodes would move and leave, for this node's repository; nothing is done",
    )
    .option("--remove <peer...>", "nodes that go: names, peer ids or beginnings of them")
    .option("--remove-site <site...>", "all nodes of a site");
  bind(command, options, [0, 1, 2, 4, 5, 6, 10], async (session, { remove, removeSite }) => {
    const result = await session.daemon.plan({ remove, removeSites: removeSite }, session.context);
    await session.result(result, () => planText(result));
    return result.stuck.length === 0 ? EXIT.done : EXIT.belowPolicy;
  });
}

function planText(result: PlanResult): string {
  const { bytes, survives, margin, received } = result;
  const names = result.remove.map(({ name, peerId, site }) => `${name ?? peerId} (${site})`).join(", ");
  const lines = [
    `to go: ${names}`,
    `${counted(result.segments, "segment")} of this repository; they hold ${formatBytes(bytes.held)} of it`,
    `drained first: ${formatBytes(bytes.drained)} over the network, from them`,
    `gone: ${formatBytes(bytes.repaired)}, ${formatBytes(bytes.read)} read and ${formatBytes(bytes.sent)} sent by this node`,
  ];
  if (survives !== undefined && margin !== undefined) {
    for (const when of ["before", "during", "after"] as const)
      lines.push(`${when.padEnd(6)} survives ${survivesText(survives[when])}; margin ${margin[when]}`);
    if (margin.during < 0)
      lines.push("LOST if they go without draining: too few shards of some segment would be left.");
  }
  const rows = received.map((one) => [one.name ?? one.peerId, formatBytes(one.bytes)]);
  const into = rows.length === 0 ? "" : `\n${table(["INTO", "BYTES"], rows, ["BYTES"])}`;
  const stuck = result.stuck.map(({ why, shards }) => `${counted(shards, "row slot")}: ${why}`);
  const nowhere =
    stuck.length === 0 ? "" : `\n${listing(`Can go nowhere (${formatBytes(bytes.stuck)}):`, stuck)}`;
  return `${lines.join("\n")}\n${into}${nowhere}`;
}
