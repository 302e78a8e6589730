import { z } from "zod";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { ScrubResult } from "../../control/api.ts";
import { exitStatusOfScrub } from "../exit-codes.ts";
import { counted, listing, shortTime } from "../text.ts";
import { usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";

const flag = z.boolean().default(false);
const options = z.object({ now: flag, pause: flag, resume: flag, acceptMissing: flag });

export const scrubCommand: AddCommand = (program, bind) => {
  const command = program
    .command("scrub")
    .description(
      "whether the shards held here are as they came: how far reading them again is, or read all now",
    )
    .option("--now", "read everything once, now")
    .option("--pause", "stop reading in the background until --resume, over restarts too")
    .option("--resume", "go on")
    .option("--accept-missing", "the disk with the shards was replaced: what is not on it is lost");
  bind(command, options, [0, 1, 2, 4, 5, 10, 130], async (session, given) => {
    const asked = (["now", "pause", "resume"] as const).filter((action) => given[action]);
    if (asked.length > 1) throw usage("--now, --pause and --resume exclude each other.");
    const request = { action: asked[0] ?? "status", acceptMissing: given.acceptMissing } as const;
    const result = await session.daemon.scrub(request, session.context);
    await session.result(result, () => scrubText(result));
    return exitStatusOfScrub(result);
  });
  return command;
};

function scrubText(result: ScrubResult): string {
  const { disk } = result;
  const gone =
    disk.state === "gone"
      ? [`The disk is GONE, and no shard is served: ${disk.reason ?? "no reason known"}.`]
      : [];
  const lines = [
    ...gone,
    `${roundName(result)}: ${counted(result.scanned, "shard")} scanned (${formatBytes(result.bytesRead)}), ` +
      `${result.corrupt} corrupt, ${result.quarantined} quarantined, ${result.repaired} repaired, ${formatBytes(result.bytesMoved)} moved`,
    `oldest unverified byte: ${formatDuration(result.oldestUnverifiedMs)}; the bound is ${formatDuration(result.periodMs)}`,
    `${counted(result.waiting, "shard")} set aside, waiting for repair`,
    ...result.notes,
  ];
  const bad = result.bad.map(
    ({ ownerId, incarnation, number, index, reason, since }) =>
      `${ownerId}/${incarnation}/${number}/${index}: ${reason} (${shortTime(since)} UTC)`,
  );
  const list = result.waiting === 0 ? "" : listing("Set aside:", bad, result.waiting);
  return `${lines.join("\n")}\n${list}`;
}

function roundName({ ran, complete, paused, roundStartedAt, durationMs }: ScrubResult): string {
  if (ran) return complete ? `round done in ${formatDuration(durationMs)}` : "round broken off";
  const state = paused ? "paused" : complete ? "done; the next begins by itself" : "under way";
  return `round of ${shortTime(roundStartedAt)} UTC, ${state}`;
}
