import { utf8 } from "../../../src/base/bytes.ts";
import { type PeerId, peerIdOf } from "../../../src/base/ids.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import type { PlacementNode } from "../../../src/placement/index.ts";

export function peerNamed(name: string): PeerId {
  return peerIdOf(sha256(utf8(name)));
}

/** A healthy node; its number follows from its name, so that orders are the same in every run. */
export function node(name: string, site: string, changes: Partial<PlacementNode> = {}): PlacementNode {
  return {
    peer: peerNamed(name),
    site,
    host: name,
    nodeNumber: sha256(utf8(`number of ${name}`)),
    weight: 1,
    reachable: true,
    full: false,
    draining: false,
    suspected: false,
    ...changes,
  };
}

/** `[2, 3]`: two nodes at site0, three at site1. */
export function nodesOf(sites: readonly number[], prefix = "node"): PlacementNode[] {
  return sites.flatMap((count, site) =>
    Array.from({ length: count }, (_, i) => node(`${prefix}-${site}-${i}`, `site${site}`)),
  );
}

/** All multisets of `sitesMax` or fewer sites with `nodesMax` or fewer nodes, sizes falling; each at least one node. */
export function* shapesUpTo(nodesMax: number, sitesMax: number): Generator<number[]> {
  function* below(left: number, largest: number, sites: number): Generator<number[]> {
    if (sites === 0) return;
    for (let size = Math.min(left, largest); size >= 1; size--) {
      yield [size];
      for (const rest of below(left - size, size, sites - 1)) yield [size, ...rest];
    }
  }
  yield* below(nodesMax, nodesMax, sitesMax);
}
