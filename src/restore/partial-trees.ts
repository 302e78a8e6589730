import { must } from "../base/assert.ts";
import { type Fault, isFault } from "../base/fault.ts";
import type { BytePath } from "../base/paths.ts";
import { refKey, type TreeEntry } from "../catalog/index.ts";
import type { TreeReader } from "./tree-reader.ts";

/** Entries of the directory at a path that has these pages. */
export type ReadDirectory = (
  path: BytePath,
  pages: readonly Uint8Array[],
  signal: AbortSignal | undefined,
) => Promise<TreeEntry[]>;

/** Whether something of a snapshot cannot be had, as opposed to a restore that cannot go on. */
export function isLoss(error: unknown): error is Fault {
  return isFault(error, "TOO_FEW_SHARDS", "SEGMENT_UNREADABLE", "CHUNK_UNKNOWN");
}

/**
 * For `restore --partial`: directories as far as their pages can be had, and which ones are not whole. What was found
 * to be lost stays so for the whole run, so that counting, writing and deleting see the same tree, and holders that
 * do not answer are waited for once.
 */
export class PartialTrees {
  /** By directory. */
  readonly losses = new Map<BytePath, Fault>();
  readonly #trees: Pick<TreeReader, "entries" | "placeOfMissing">;
  readonly #lostSegments = new Map<string, Fault>();

  constructor(components: { trees: Pick<TreeReader, "entries" | "placeOfMissing"> }) {
    this.#trees = components.trees;
  }

  read: ReadDirectory = async (path, pages, signal) => {
    if (!this.losses.has(path)) {
      try {
        return await this.#trees.entries(pages, signal);
      } catch (error) {
        if (!isLoss(error)) throw error;
        this.losses.set(path, error);
      }
    }
    const entries: TreeEntry[] = [];
    for (const page of pages) entries.push(...(await this.#readPage(page, signal)));
    return entries;
  };

  async #readPage(page: Uint8Array, signal: AbortSignal | undefined): Promise<TreeEntry[]> {
    try {
      const place = this.#trees.placeOfMissing(page);
      if (place !== undefined && this.#lostSegments.has(refKey(place))) return [];
      return await this.#trees.entries([page], signal);
    } catch (error) {
      if (!isLoss(error)) throw error;
      if (error.code !== "CHUNK_UNKNOWN")
        this.#lostSegments.set(refKey(must(this.#trees.placeOfMissing(page), "place of the page")), error);
      return [];
    }
  }
}
