import { z } from "zod";
import type { MaintenanceRequest, MaintenanceResult } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, shortTime } from "../text.ts";
import { durationValue, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({ end: z.boolean().default(false) });

export const maintenanceCommand: AddCommand = (program, bind) => {
  const command = program
    .command("maintenance")
    .argument("[duration]", "how long this node may be off, such as 3h; at most 14 d")
    .description(
      "announce that this node will be off for a while, so that nobody replaces what it holds meanwhile",
    )
    .option("--end", "it is over");
  bind(command, options, [0, 1, 2, 5, 10], async (session, { end }, args) => {
    const request = requestOf(args[0], end);
    const result = await session.daemon.maintenance(request, session.context);
    await session.result(result, () => maintenanceText(result, request));
    return EXIT.done;
  });
  return command;
};

function requestOf(duration: string | undefined, end: boolean): MaintenanceRequest {
  if (end && duration !== undefined) throw usage("--end takes no duration.");
  if (end) return { action: "end" };
  if (duration === undefined) return { action: "status" };
  const forMs = durationValue.parse(duration);
  if (forMs < 1) throw usage("An outage has a length.");
  return { action: "begin", forMs };
}

function maintenanceText({ until, connected }: MaintenanceResult, { action }: MaintenanceRequest): string {
  if (until === undefined) return "No outage of this node is announced.\n";
  const told =
    action === "begin"
      ? ` It spreads from ${counted(connected, "connected member")} on; stop in a few seconds.`
      : "";
  return `An outage of this node is announced until ${shortTime(until)} UTC.${told}\n`;
}
