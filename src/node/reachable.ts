import { toHex } from "../base/bytes.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import {
  type Catalog,
  type ChunkPlace,
  SegmentRangeSet,
  type SegmentRanges,
  type SegmentRef,
  SegmentSet,
  type SnapshotEntry,
} from "../catalog/index.ts";
import type { TreeReader } from "../restore/index.ts";

export interface ReachableComponents {
  readonly catalog: Pick<Catalog, "chunks" | "snapshots">;
  readonly trees: Pick<TreeReader, "manifest" | "entries" | "pieces">;
}

/** Every segment that reading some snapshot on the list takes. */
export class Reachable {
  readonly needs = new SegmentRangeSet();
  /** What lies elsewhere than the manifests say: it was stored anew since. */
  readonly moved = new SegmentSet();

  has(ref: SegmentRef): boolean {
    return this.needs.has(ref) || this.moved.has(ref);
  }

  addNeeds(ranges: SegmentRanges): void {
    this.needs.addAll(ranges);
  }

  addPlace({ incarnation, number }: ChunkPlace): void {
    const ref = { incarnation, number };
    if (!this.needs.has(ref)) this.moved.add(ref);
  }
}

/**
 * Goes through every tree of every snapshot, each page once, however many snapshots share it. A manifest says what its snapshot
 * leant on when it was made; a chunk that was stored anew since is read from where the index says, which no manifest of an
 * older snapshot names. Whatever cannot be read is `NOT_ALLOWED`: what is not known to be dead is not dead.
 */
export async function reachableSegments(
  components: ReachableComponents,
  signal: AbortSignal,
): Promise<Reachable> {
  const walk = new Walk(components, signal);
  const entries = await components.catalog.snapshots();
  for (const entry of entries) await walk.needs(entry);
  for (const entry of entries) await walk.snapshot(entry);
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

  needs(entry: SnapshotEntry): Promise<void> {
    return this.#orRefuse(entry, async () => {
      const { segment: number, incarnation } = entry.manifest;
      this.found.addNeeds([[incarnation, [[number, 1]]]]);
      this.found.addNeeds((await this.#c.trees.manifest(entry, this.#signal)).needs);
    });
  }

  snapshot(entry: SnapshotEntry): Promise<void> {
    return this.#orRefuse(entry, async () =>
      this.#tree((await this.#c.trees.manifest(entry, this.#signal)).root),
    );
  }

  async #tree(root: readonly Uint8Array[]): Promise<void> {
    const waiting = [root];
    for (let pages = waiting.pop(); pages !== undefined; pages = waiting.pop()) {
      const key = pages.map(toHex).join();
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.#signal.throwIfAborted();
      for (const id of pages) this.#chunk(id);
      for (const { content, tree } of await this.#c.trees.entries(pages, this.#signal)) {
        if (tree !== undefined) waiting.push(tree);
        if (content?.kind === "pages") for (const id of content.pages) this.#chunk(id);
        if (content === undefined) continue;
        for (const piece of await this.#c.trees.pieces(content, this.#signal))
          if (piece.kind === "chunk") this.#chunk(piece.id);
      }
    }
  }

  #chunk(id: Uint8Array): void {
    const place = this.#c.catalog.chunks.get(id);
    if (place === undefined) throw new Fault({ code: "CHUNK_UNKNOWN", chunk: toHex(id) });
    this.found.addPlace(place);
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
