import { assert, must } from "../base/assert.ts";
import type { Catalog, ChunkPlace, SegmentRef } from "../catalog/index.ts";
import type { PreparedChunk } from "../ports/index.ts";
import {
  type ClosedSegment,
  contentBytesOf,
  paddedSegmentBytes,
  SegmentBuilder,
  type SegmentSizes,
} from "../segments/index.ts";
import type { Locator } from "../wire/head.ts";

/** Stores a segment that is full, or the last one. */
export type StoreEnd = (ref: SegmentRef, segment: ClosedSegment) => Promise<void>;

/**
 * The segments that end a snapshot: what was left of data and trees, the index, the manifest. Filled one after the
 * other, so that a chunk's place is known at once and later chunks can name it, and stored as they fill: the index of a
 * first snapshot takes many. A small end is one tail.
 */
export class EndSegments {
  readonly #catalog: Catalog;
  readonly #sizes: SegmentSizes;
  readonly #classes: { readonly whole: number; readonly tail: number };
  readonly #store: StoreEnd;
  readonly #begun: { ref: SegmentRef; tail: boolean }[] = [];
  #current: { ref: SegmentRef; builder: SegmentBuilder; tail: boolean } | undefined;
  #mayBeTail: boolean;

  /** @param init.expectedBytes about how much will come: decides whether it begins as a tail. */
  constructor(
    components: { catalog: Catalog; store: StoreEnd },
    init: { sizes: SegmentSizes; classes: { whole: number; tail: number }; expectedBytes: number },
  ) {
    this.#catalog = components.catalog;
    this.#store = components.store;
    this.#sizes = init.sizes;
    this.#classes = init.classes;
    this.#mayBeTail = init.expectedBytes <= init.sizes.tailMaxBytes;
  }

  async add(chunk: PreparedChunk): Promise<ChunkPlace & { class: number }> {
    const current = await this.#room([chunk]);
    const place = must(current.builder.tryAdd(chunk), "place in a segment with room");
    const { rawBytes, compressed } = chunk;
    const classId = current.tail ? this.#classes.tail : this.#classes.whole;
    return { ...current.ref, ...place, rawBytes, compressed, class: classId };
  }

  async addLocated(chunk: PreparedChunk): Promise<Locator> {
    const { number, ...place } = await this.add(chunk);
    return { id: chunk.id, segment: number, ...place };
  }

  /** Of a segment of this end; `undefined` for any other. */
  classOf(ref: SegmentRef): number | undefined {
    const found = this.#begun.find(
      (one) => one.ref.number === ref.number && one.ref.incarnation === ref.incarnation,
    );
    if (found === undefined) return undefined;
    return found.tail ? this.#classes.tail : this.#classes.whole;
  }

  /** Every segment begun so far. */
  refs(): SegmentRef[] {
    return this.#begun.map(({ ref }) => ref);
  }

  /** Makes sure that these, and `slackBytes` more, fit into the segment that is being filled; returns it. */
  async reserve(chunks: readonly PreparedChunk[], slackBytes: number): Promise<SegmentRef> {
    return (await this.#room(chunks, slackBytes)).ref;
  }

  /** Stores the last one, which holds what was added last. */
  async finish(): Promise<void> {
    await this.#storeCurrent();
  }

  async #room(
    chunks: readonly PreparedChunk[],
    slackBytes = 0,
  ): Promise<{ ref: SegmentRef; builder: SegmentBuilder; tail: boolean }> {
    const known = this.#current;
    const needBytes = contentBytesOf(chunks) + slackBytes;
    const more = needBytes - contentBytesOf([]);
    if (known !== undefined && known.builder.contentBytes + more <= this.#capacity(known.tail)) return known;
    await this.#storeCurrent();
    const tail = this.#mayBeTail;
    this.#mayBeTail = false;
    assert(needBytes <= this.#sizes.fullBytes, "what has to be together fits into one segment");
    const fits = needBytes <= this.#capacity(tail);
    const opened = {
      ref: await this.#catalog.nextSegment(),
      builder: new SegmentBuilder({ capacityBytes: this.#capacity(tail && fits) }),
      tail: tail && fits,
    };
    this.#current = opened;
    this.#begun.push({ ref: opened.ref, tail: opened.tail });
    return opened;
  }

  #capacity(tail: boolean): number {
    return tail ? this.#sizes.tailMaxBytes : this.#sizes.fullBytes;
  }

  async #storeCurrent(): Promise<void> {
    if (this.#current === undefined) return;
    const { ref, builder, tail } = this.#current;
    const { chunks, places, contentBytes } = builder;
    const segmentBytes = Math.min(paddedSegmentBytes(contentBytes, this.#sizes), this.#capacity(tail));
    const release = (): void => builder.release();
    this.#current = undefined;
    await this.#store(ref, { chunks, places, contentBytes, segmentBytes, tail, release });
  }
}
