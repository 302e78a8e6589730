import { z } from "zod";
import { formatBytes, formatDuration } from "../../base/units.ts";
import type { VerifyResult } from "../../control/api.ts";
import { exitStatusOfVerify } from "../exit-codes.ts";
import { counted, listing, survivesText } from "../text.ts";
import { narrowing, parseTarget, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { narrowLatest, noteMoment } from "./narrow-latest.ts";

const options = z.object({ ...narrowing, readData: z.boolean().default(false) });

export const verifyCommand: AddCommand = (program, bind) => {
  const command = program
    .command("verify")
    .description("check that everything a snapshot needs is held: all snapshots, or one")
    .argument("[snapshot]", "an id, the beginning of one, or latest")
    .option("--read-data", "fetch and check every byte instead of samples");
  narrowLatest(command);
  bind(command, options, [0, 1, 2, 4, 5, 6, 10, 11, 130], async (session, given, args) => {
    const names = args[0] !== undefined || given.at !== undefined || given.source !== undefined;
    const asked = names ? parseTarget(args[0], given, session.world) : undefined;
    noteMoment(session, given.at);
    if (asked?.path !== undefined && asked.path !== given.source?.path)
      throw usage("A snapshot is verified as a whole: leave the path out.");
    const request = {
      readData: given.readData,
      ...(asked === undefined ? {} : { selector: asked.selector }),
    };
    const result = await session.daemon.verify(request, session.context);
    await session.result({ type: "summary", ...result }, () => verifyText(result));
    return exitStatusOfVerify(result);
  });
  return command;
};

const MEANINGS: Readonly<Record<VerifyResult["state"], string>> = {
  ok: "everything is held as it should be",
  weak: "everything can be restored, but margins are too low",
  unreadable: "NOT everything can be restored now",
};

function verifyText(result: VerifyResult): string {
  const read = result.readData ? "every byte read" : "samples read";
  const lines = [
    `${result.state}: ${MEANINGS[result.state]}`,
    `${counted(result.segmentCount, "segment")} of ${counted(result.snapshots, "snapshot")}: ` +
      `${counted(result.proven, "shard")} proven, ${result.claimed} claimed, ${result.missing} missing, ` +
      `${result.corruptCount} corrupt; lowest margin ${result.worstMargin}`,
    `survives ${survivesText(result.survives)}`,
    `${read}: ${formatBytes(result.bytesRead)} of ${counted(result.shardsChecked, "shard")} in ${formatDuration(result.durationMs)}`,
    ...result.notes,
  ];
  return `${lines.join("\n")}\n${corruptText(result)}${weakText(result)}`;
}

function corruptText({ corrupt, corruptCount }: VerifyResult): string {
  if (corruptCount === 0) return "";
  const lines = corrupt.map(
    ({ number, index, peer, reason }) => `segment ${number} shard ${index} at ${peer}: ${reason}`,
  );
  return listing("Corrupt shards:", lines, corruptCount);
}

function weakText({ state, segments }: VerifyResult): string {
  if (state === "ok" || segments.length === 0) return "";
  const lines = segments.map(
    ({ number, k, m, proven, claimed, margin }) =>
      `segment ${number} (${k}+${m}): ${proven} proven, ${claimed} claimed, margin ${margin}`,
  );
  return listing("Weakest segments:", lines);
}
