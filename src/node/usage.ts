import { isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import {
  listingOf,
  Moves,
  RangeOwners,
  SegmentRangeSet,
  type SegmentRecord,
  type SnapshotEntry,
} from "../catalog/index.ts";
import type { Repository } from "./repository.ts";

/** A part of what is stored: whole segments, and their shards at holders. */
export interface StoredPart {
  readonly segments: number;
  /** Shard bytes that holders have acknowledged. */
  readonly storedBytes: number;
}

export interface RepositoryUsage {
  /** All of it. */
  readonly stored: StoredPart;
  /** Needed by more than one snapshot. */
  readonly shared: StoredPart;
  /** Needed by none: what removing garbage would free. */
  readonly unneeded: StoredPart;
  /** In the order of `entries`: what only that one needs, and what forgetting it alone would free in the end. */
  readonly snapshots: readonly { readonly entry: SnapshotEntry; readonly own: StoredPart }[];
  readonly peers: ReadonlyMap<PeerId, { readonly shards: number; readonly storedBytes: number }>;
  /** Snapshots whose manifests cannot be read just now: what they need is counted as not needed. */
  readonly unread: number;
}

interface Sum {
  segments: number;
  storedBytes: number;
}

const nothing = (): Sum => ({ segments: 0, storedBytes: 0 });

/** One pass over all manifests and one over all segments. */
export async function usageOf(repository: Repository, signal: AbortSignal): Promise<RepositoryUsage> {
  const entries = await repository.snapshots();
  const owners = new RangeOwners();
  const moves = Moves.load(repository.catalog.store);
  let unread = 0;
  for (const [asker, entry] of entries.entries()) {
    try {
      const named = new SegmentRangeSet();
      named.addAll((await repository.trees.manifest(entry, signal)).needs);
      owners.add(asker, named.without(moves.gone).toRanges());
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      unread++;
    }
  }
  // What leads to the list is needed by all that is on it.
  const [listing, givenUp] = [new SegmentRangeSet(), new SegmentRangeSet()];
  listing.addAll(listingOf(repository.catalog.store));
  // Which of the older ones need it is not written down.
  listing.addAll(moves.state.instead);
  givenUp.addAll(repository.live.state?.givenUp ?? []);
  const [stored, shared, unneeded] = [nothing(), nothing(), nothing()];
  const own = entries.map(nothing);
  const peers = new Map<PeerId, { shards: number; storedBytes: number }>();
  for await (const [ref, record] of repository.catalog.segments.all()) {
    signal.throwIfAborted();
    if (givenUp.has(ref)) continue;
    const bytes = addToPeers(peers, record);
    const owner = listing.has(ref) ? "shared" : owners.of(ref);
    const part = owner === undefined ? unneeded : owner === "shared" ? shared : (own[owner] ?? unneeded);
    for (const sum of [stored, part]) {
      sum.segments++;
      sum.storedBytes += bytes;
    }
  }
  const snapshots = entries.map((entry, i) => ({ entry, own: own[i] ?? nothing() }));
  return { stored, shared, unneeded, snapshots, peers, unread };
}

/** How many bytes of it are held anywhere. */
function addToPeers(
  peers: Map<PeerId, { shards: number; storedBytes: number }>,
  { slots, shardBytes }: SegmentRecord,
): number {
  let bytes = 0;
  for (const slot of slots) {
    if (slot === null) continue;
    const at = peers.get(slot.peer) ?? { shards: 0, storedBytes: 0 };
    at.shards++;
    at.storedBytes += shardBytes;
    peers.set(slot.peer, at);
    bytes += shardBytes;
  }
  return bytes;
}
