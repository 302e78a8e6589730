import { toHex } from "../base/bytes.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import {
  type Catalog,
  type ChunkPlace,
  SegmentRangeSet,
  type SegmentRef,
  SegmentSet,
  type SnapshotEntry,
} from "../catalog/index.ts";
import type { TreeReader } from "../restore/index.ts";
import { AliveFrames } from "./alive-frames.ts";

export interface ReachableComponents {
  readonly catalog: Pick<Catalog, "chunks" | "snapshots">;
  readonly trees: Pick<TreeReader, "manifest" | "entries" | "pieces">;
}

/** Every segment that reading some snapshot on the list takes, found by going there. */
export class Reachable {
  /** What the manifests name: what each snapshot took when it was made. */
  readonly named = new SegmentRangeSet();
  /** Of these, the ones that locked snapshots name. */
  readonly lockedNames = new SegmentRangeSet();
  /** Where manifests, trees and contents lie now. */
  readonly places = new SegmentSet();
  /** Those of them that the manifest of the snapshot that led there does not name: what lies there was stored anew. */
  readonly moved = new SegmentSet();
  readonly alive = new AliveFrames();
}

/**
 * Goes through every tree of every snapshot, each page once, however many snapshots share it. A manifest says what its snapshot
 * leant on when it was made; a chunk is read from where the index says now. Whatever cannot be read is `NOT_ALLOWED`: what is not
 * known to be dead is not dead.
 */
export async function reachableSegments(
  components: ReachableComponents,
  isLocked: (entry: SnapshotEntry) => boolean,
  signal: AbortSignal,
): Promise<Reachable> {
  const walk = new Walk(components, signal);
  for (const entry of await components.catalog.snapshots()) await walk.snapshot(entry, isLocked(entry));
  return walk.found;
}

class Walk {
  readonly found = new Reachable();
  readonly #c: ReachableComponents;
  readonly #signal: AbortSignal;
  /** Pages of trees, by the list of their ids. */
  readonly #seen = new Set<string>();

  constructor(components: ReachableComponents, signal: AbortSignal) {
    this.#c = components;
    this.#signal = signal;
  }

  snapshot(entry: SnapshotEntry, isLocked: boolean): Promise<void> {
    return this.#orRefuse(entry, async () => {
      const { root, needs } = await this.#c.trees.manifest(entry, this.#signal);
      const named = new SegmentRangeSet();
      named.addAll(needs);
      this.found.named.addAll(needs);
      if (isLocked) this.found.lockedNames.addAll(needs);
      const { segment: number, ...place } = entry.manifest;
      this.#at({ ...place, number }, named, "metadata");
      await this.#tree(root, named);
    });
  }

  async #tree(root: readonly Uint8Array[], named: SegmentRangeSet): Promise<void> {
    const waiting = [root];
    for (let pages = waiting.pop(); pages !== undefined; pages = waiting.pop()) {
      const key = pages.map(toHex).join();
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.#signal.throwIfAborted();
      for (const id of pages) this.#chunk(id, named, "metadata");
      for (const { content, tree } of await this.#c.trees.entries(pages, this.#signal)) {
        if (tree !== undefined) waiting.push(tree);
        if (content?.kind === "pages") for (const id of content.pages) this.#chunk(id, named, "metadata");
        if (content === undefined) continue;
        for (const piece of await this.#c.trees.pieces(content, this.#signal))
          if (piece.kind === "chunk") this.#chunk(piece.id, named, "data");
      }
    }
  }

  #chunk(id: Uint8Array, named: SegmentRangeSet, of: "data" | "metadata"): void {
    const place = this.#c.catalog.chunks.get(id);
    if (place === undefined) throw new Fault({ code: "CHUNK_UNKNOWN", chunk: toHex(id) });
    this.#at(place, named, of);
  }

  #at(place: ChunkPlace, named: SegmentRangeSet, of: "data" | "metadata"): void {
    const ref: SegmentRef = { incarnation: place.incarnation, number: place.number };
    this.found.places.add(ref);
    if (!named.has(ref)) this.found.moved.add(ref);
    this.found.alive.add(place, of);
  }

  async #orRefuse(entry: SnapshotEntry, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isFault(error)) throw error;
      const id = toHex(entry.id).slice(0, 12);
      const reason = `what snapshot ${id} needs cannot be read now, and nothing is pruned that may be part of it: ${messageOf(error)}`;
      throw new Fault({ code: "NOT_ALLOWED", reason }, { cause: error });
    }
  }
}
