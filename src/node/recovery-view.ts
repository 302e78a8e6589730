import type { PeerId } from "../base/ids.ts";
import type { SwarmView } from "../exchange/index.ts";
import { type RosterBook, viewOf } from "../membership/index.ts";
import { NOBODY_APART, type PlacementNode } from "../placement/index.ts";

/** The swarm as a recovery sees it, before there is a home: who is a member, and who has answered. */
export function viewOfAnswers(
  book: RosterBook,
  init: { readonly nowMs: number; readonly self: PeerId; readonly answering: ReadonlySet<PeerId> },
): SwarmView {
  const { members, byPeer } = viewOf(book, init.nowMs);
  const nodes = members
    .filter(({ holder }) => holder)
    .map(({ peer, site, host, nodeNumber, capacityBytes }): PlacementNode => {
      const flags = { reachable: init.answering.has(peer), full: false, draining: false, suspected: false };
      return { peer, site, host, nodeNumber, weight: capacityBytes, ...flags };
    });
  return {
    self: init.self,
    nodes: () => nodes,
    // A recovery writes nothing before it has a home.
    formatVersion: () => 1,
    apart: () => NOBODY_APART,
    placeOf: (peer) => byPeer.get(peer),
    ownQuotaBytes: () => undefined,
  };
}
