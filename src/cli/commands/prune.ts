import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { PruneResult } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import { counted } from "../text.ts";
import type { AddCommand } from "./add-command.ts";

const options = z.object({ dryRun: z.boolean().default(false) });

export const pruneCommand: AddCommand = (program, bind) => {
  const command = program
    .command("prune")
    .description("give back what no snapshot needs any more; holders delete it 16 days later")
    .option("--dry-run", "only say what would be given back");
  bind(command, options, [0, 1, 2, 5, 6, 10, 130], async (session, { dryRun }) => {
    const result = await session.daemon.prune({ dryRun }, session.context);
    await session.result(result, () => pruneText(result));
    return EXIT.done;
  });
  return command;
};

function pruneText(result: PruneResult): string {
  const { segments, aliveBytes } = result.copied;
  if (segments === 0) return givenUpText(result);
  const what = `${formatBytes(aliveBytes)} that snapshots need of ${counted(segments, "segment")} with little else`;
  const copied = result.dryRun
    ? `${what} would be copied into new ones first`
    : `${what} copied into new ones`;
  return `${copied}\n${givenUpText(result)}`;
}

function givenUpText({ dryRun, segments, freedBytes, kept, liveSet }: PruneResult): string {
  const stays = `${formatBytes(kept.storedBytes)} in ${counted(kept.segments, "segment")} stay`;
  const handed =
    liveSet === undefined || liveSet.missing === 0
      ? ""
      : `${counted(liveSet.missing, "peer")} have not heard yet what is wanted: they are told when they can be reached\n`;
  if (segments === 0)
    return `nothing to give back; ${stays}: a segment goes when no snapshot needs any part of it\n${handed}`;
  const what = `${formatBytes(freedBytes)} in ${counted(segments, "segment")}`;
  if (dryRun) return `${what} would be given back; ${stays}\n`;
  return `${what} given back: holders delete it in 16 days of their running; ${stays}\n${handed}`;
}
