import { assert, must } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import type { Catalog, SegmentRef } from "../catalog/index.ts";
import type { Compute, MetaOp, PreparedChunk } from "../ports/index.ts";
import type { Locator } from "../wire/head.ts";
import { EndSegments } from "./end-segments.ts";
import type { HeadPartsInit } from "./head-parts.ts";
import type { SegmentStorer } from "./segment-storer.ts";

export interface CopierComponents {
  readonly catalog: Catalog;
  readonly compute: Pick<Compute, "prepare">;
  readonly storer: Pick<SegmentStorer, "enter" | "reserve" | "store">;
  /** To be written with the places of what is in a new segment. */
  readonly onStored: (ref: SegmentRef) => readonly MetaOp[];
}

/**
 * Chunks that lie somewhere, written once more into segments of their own. Their places count from when the segment that they are
 * in is placed or spooled; till then, and if that fails, the old ones do.
 */
export class Copier {
  readonly #c: CopierComponents;
  readonly #init: HeadPartsInit;
  readonly #end: EndSegments;
  /** Placed or spooled. */
  readonly stored: SegmentRef[] = [];

  /** @param expectedBytes about how much will come: few bytes go into a small segment */
  constructor(components: CopierComponents, init: HeadPartsInit, expectedBytes: number) {
    this.#c = components;
    this.#init = init;
    const { catalog, storer, onStored } = components;
    this.#end = new EndSegments(
      {
        catalog,
        store: async (ref, segment) => {
          const entered = await storer.enter(ref, segment);
          await storer.store(entered, await storer.reserve(entered), () => onStored(ref));
          this.stored.push(ref);
        },
      },
      { ...init, expectedBytes },
    );
  }

  /** The index says where it lies from when it is there. */
  async add(id: Uint8Array, plaintext: Uint8Array): Promise<void> {
    await this.#end.add(await this.#prepare(id, plaintext));
  }

  /** Where it will lie when `finish` has resolved. */
  async addLocated(id: Uint8Array, plaintext: Uint8Array): Promise<Locator> {
    return this.#end.addLocated(await this.#prepare(id, plaintext));
  }

  async #prepare(id: Uint8Array, plaintext: Uint8Array): Promise<PreparedChunk> {
    const [prepared] = await this.#c.compute.prepare([plaintext], this.#init.chunkIdKey);
    const chunk = must(prepared, "prepared chunk");
    assert(equalBytes(chunk.id, id), "a copy has the id of what it is a copy of");
    return chunk;
  }

  finish(): Promise<void> {
    return this.#end.finish();
  }
}
