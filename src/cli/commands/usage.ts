import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import type { UsageResult } from "../../control/api.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, shortId, shortTime, table } from "../text.ts";
import type { AddCommand } from "./add-command.ts";

export const usageCommand: AddCommand = (program, bind) => {
  const command = program
    .command("usage")
    .description("what the snapshots take, at which peers; OWN: what only that snapshot needs");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10, 130], async (session) => {
    const result = await session.daemon.usage({}, session.context);
    await session.result(result, () => usageText(result));
    if (result.unread > 0 && !session.json)
      session.note(
        `${counted(result.unread, "snapshot")} cannot be read now: what only they need is counted as not needed.`,
      );
    return EXIT.done;
  });
  return command;
};

function usageText(result: UsageResult): string {
  const { stored, shared, unneeded } = result;
  const part = ({ segments, storedBytes }: UsageResult["stored"]): string =>
    `${formatBytes(storedBytes)} in ${counted(segments, "segment")}`;
  const own = stored.storedBytes - shared.storedBytes - unneeded.storedBytes;
  const sums = [
    `in snapshots  ${formatBytes(result.logicalBytes)}, ${formatBytes(result.uniqueBytes)} without duplicates`,
    `stored        ${part(stored)}`,
    `  shared      ${part(shared)}, needed by more than one snapshot`,
    `  own         ${formatBytes(own)}, needed by one`,
    `  not needed  ${part(unneeded)}: of snapshots that broke off, or of indexes that were written anew`,
    ...(result.leaving === undefined
      ? []
      : [
          `given up      ${formatBytes(result.leaving.quotaBytes)} of the quota until holders have deleted it`,
        ]),
  ];
  const peers = result.peers.map(({ peerId, name, site, shards, storedBytes }) => [
    name ?? shortId(peerId),
    site ?? "-",
    String(shards),
    formatBytes(storedBytes),
  ]);
  const snapshots = result.snapshots.map(({ snapshotId, time, tags, logicalBytes, own: { storedBytes } }) => [
    shortId(snapshotId),
    shortTime(time),
    formatBytes(logicalBytes),
    formatBytes(storedBytes),
    tags.join(","),
  ]);
  return [
    `${sums.join("\n")}\n`,
    peers.length === 0 ? "" : table(["PEER", "SITE", "SHARDS", "STORED"], peers, ["SHARDS", "STORED"]),
    snapshots.length === 0
      ? ""
      : table(["ID", "TIME (UTC)", "SIZE", "OWN", "TAGS"], snapshots, ["SIZE", "OWN"]),
  ]
    .filter((text) => text !== "")
    .join("\n");
}
