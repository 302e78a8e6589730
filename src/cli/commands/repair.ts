import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { RepairQueue, RepairResult, RepairStanding } from "../../control/api.ts";
import { exitStatusOfRepair } from "../exit-codes.ts";
import { counted, listing, shortTime, survivesText } from "../text.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({ now: z.boolean().default(false) });

export const repairCommand: AddCommand = (program, bind) => {
  const command = program
    .command("repair")
    .description("what of this repository is to be made anew, or ask all holders and do it now")
    .option("--now", "ask every holder what it has, wait for nobody who is absent, keep to no budget");
  bind(command, options, [0, 1, 2, 4, 5, 6, 10, 130], async (session, { now }) => {
    const result = await session.daemon.repair({ now }, session.context);
    await session.result({ type: "summary", ...result }, () => repairText(result));
    return exitStatusOfRepair(result);
  });
  return command;
};

function repairText(result: RepairResult): string {
  const when = result.now ? "now" : "since the daemon was started";
  const moved = `${formatBytes(result.bytesRead)} read and ${formatBytes(result.bytesSent)} sent`;
  const lines = [
    `${counted(result.scanned, "shard")} asked for (${when}), ${result.corrupt} missing; ` +
      `${result.repaired} repaired, ${result.failed} failed, ${moved}`,
  ];
  if (result.silent > 0) lines.push(`${counted(result.silent, "holder")} did not answer`);
  if (result.held > 0)
    lines.push(`${counted(result.held, "segment")} due and not touched: see "weather" below`);
  const { standing } = result;
  if (standing === undefined) return `${lines.join("\n")}\nnot all segments were looked at yet\n`;
  const stuck = standing.queue.stuck.map(({ why, shards }) => `${counted(shards, "shard")}: ${why}`);
  const list = stuck.length === 0 ? "" : `\n${listing("Can go nowhere:", stuck)}`;
  return `${[...lines, ...standingLines(standing)].join("\n")}\n${list}`;
}

export function standingLines(standing: RepairStanding): string[] {
  const { segments, belowPolicy, queue, weather, unknown } = standing;
  const below = belowPolicy === 0 ? "all as their profile is meant" : `${belowPolicy} BELOW POLICY`;
  const lines = [
    `${counted(segments, "segment")}, ${below}; worst margin ${queue.worstMargin}, survives ${survivesText(standing.survives)}`,
    queueLine(queue),
  ];
  if (unknown > 0)
    lines.push(`${counted(unknown, "further segment")} not read yet since the repository was recovered`);
  if (weather !== "calm") lines.push(`weather: ${weather}; only what is urgent is touched`);
  return lines;
}

function queueLine({
  segments,
  shards,
  bytes,
  reasons,
  waiting,
  stuck,
  expectedFinish,
}: RepairQueue): string {
  const why = reasons.map((one) => `${one.reason} ${one.shards}`).join(", ");
  const finish = expectedFinish === undefined ? "" : `, done at about ${shortTime(expectedFinish)} UTC`;
  const stuckShards = stuck.reduce((sum, one) => sum + one.shards, 0);
  const idle =
    stuckShards === 0 ? "nothing to repair" : `${counted(stuckShards, "shard")} due, with nowhere to go`;
  const due =
    segments === 0
      ? idle
      : `${counted(shards, "shard")} of ${counted(segments, "segment")} to repair, ${formatBytes(bytes)} to send${finish}`;
  const reason = why === "" ? "" : ` (${why})`;
  if (waiting.shards === 0) return `${due}${reason}`;
  const until = waiting.nextDue === undefined ? "" : `, the first until ${shortTime(waiting.nextDue)} UTC`;
  return `${due}${reason}; ${counted(waiting.shards, "shard")} waited for${until}`;
}
