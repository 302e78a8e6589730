import type { Node } from "../node/index.ts";
import { pendingJson } from "./node-admin.ts";
import { iso } from "./node-json.ts";
import type * as results from "./results.ts";

/** Nodes that administrators took out, the last first: they keep their shards, and nobody relies on them. */
export function removedPeers(node: Node): results.PeerInfo[] {
  const { roster } = node;
  const pending = Map.groupBy(roster.pending(), ({ owner }) => owner);
  const isGone = (owner: string): boolean => roster.members().every((member) => member.owner !== owner);
  return roster
    .former()
    .filter(({ state }) => state === "removed")
    .sort((a, b) => b.endedMs - a.endedMs)
    .map((one) => {
      const waiting = isGone(one.owner) ? (pending.get(one.owner) ?? []) : [];
      const lastSeenMs = node.lastSeenMs(one.peer);
      return {
        peerId: one.peer,
        name: one.name,
        site: one.site,
        host: one.host,
        state: "removed",
        removedAt: iso(one.endedMs),
        holder: false,
        ...(waiting.length === 0 ? {} : { pending: waiting.map((decision) => pendingJson(node, decision)) }),
        ...(lastSeenMs === undefined ? {} : { lastSeen: iso(lastSeenMs) }),
        addresses: [],
      };
    });
}
