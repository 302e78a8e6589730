import { toHex } from "../base/bytes.ts";
import { HIDDEN_TAG_PREFIX, type Node, usageOf } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import { iso } from "./node-json.ts";
import type { UsageResult } from "./usage-api.ts";

export async function usageHandler(node: Node, context: CommandContext): Promise<UsageResult> {
  const { repository, roster } = node;
  const usage = await usageOf(repository, context.signal);
  const { uniqueBytes } = await repository.totals();
  const leavingBytes = await repository.leaving.bytes();
  const { stored, shared, unneeded, unread } = usage;
  return {
    logicalBytes: usage.snapshots.reduce((sum, { entry }) => sum + entry.bytes, 0),
    uniqueBytes,
    ...{ stored, shared, unneeded, unread },
    ...(leavingBytes === 0 ? {} : { leaving: { quotaBytes: leavingBytes } }),
    snapshots: usage.snapshots.map(({ entry, own }) => ({
      snapshotId: toHex(entry.id),
      time: iso(entry.timeMs),
      tags: entry.tags.filter((tag) => !tag.startsWith(HIDDEN_TAG_PREFIX)),
      logicalBytes: entry.bytes,
      own,
    })),
    peers: [...usage.peers]
      .map(([peer, sum]) => {
        const member = roster.member(peer) ?? roster.formerMember(peer);
        return {
          peerId: peer,
          ...(member === undefined ? {} : { name: member.name, site: member.site }),
          ...sum,
        };
      })
      .sort((a, b) => b.storedBytes - a.storedBytes || (a.peerId < b.peerId ? -1 : 1)),
  };
}
