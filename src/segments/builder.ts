import { assert } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { AEAD_TAG_BYTES } from "../crypto/aead.ts";
import type { PreparedChunk } from "../ports/compute.ts";
import { EMPTY_CONTENT_BYTES, ENTRY_OVERHEAD_BYTES, FIRST_CHUNK_OFFSET, type FramePlace } from "./layout.ts";

type StoredSize = Pick<PreparedChunk, "stored">;

/** What the chunks take in a sealed segment, with header, locator, table of contents and tags, before padding. */
export function contentBytesOf(chunks: readonly StoredSize[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.stored.length + ENTRY_OVERHEAD_BYTES, EMPTY_CONTENT_BYTES);
}

/** Collects the chunks of one segment and says at once where each will lie. */
export class SegmentBuilder {
  readonly #capacityBytes: number;
  readonly #chunks: PreparedChunk[] = [];
  readonly #places: FramePlace[] = [];
  #contentBytes = EMPTY_CONTENT_BYTES;
  #nextOffset = FIRST_CHUNK_OFFSET;

  constructor(init: { readonly capacityBytes: number }) {
    assert(init.capacityBytes >= EMPTY_CONTENT_BYTES, "a segment has room for its own frames");
    this.#capacityBytes = init.capacityBytes;
  }

  /** `undefined` when there is no room for it any more. */
  tryAdd(chunk: PreparedChunk): FramePlace | undefined {
    const contentBytes = this.#contentBytes + chunk.stored.length + ENTRY_OVERHEAD_BYTES;
    if (contentBytes > this.#capacityBytes) return undefined;
    const sealedBytes = chunk.stored.length + AEAD_TAG_BYTES;
    const place = { frame: this.#chunks.length + 1, offset: this.#nextOffset, sealedBytes };
    this.#chunks.push(chunk);
    this.#places.push(place);
    this.#contentBytes = contentBytes;
    this.#nextOffset += sealedBytes;
    return place;
  }

  get chunks(): readonly PreparedChunk[] {
    return this.#chunks;
  }

  /** One for each chunk, in the same order. */
  get places(): readonly FramePlace[] {
    return this.#places;
  }

  /** Sealed size before padding. */
  get contentBytes(): number {
    return this.#contentBytes;
  }

  /** Lets go of the chunks and of their bytes; their places stay. */
  release(): void {
    for (const chunk of this.#chunks) letGo(chunk.stored);
    this.#chunks.length = 0;
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }
}
