import { must } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes } from "../base/ids.ts";
import { MIB } from "../base/units.ts";
import { type Catalog, type ChunkPlace, refKey, type SegmentRef } from "../catalog/index.ts";
import type { OwnerKeys } from "../crypto/keys.ts";
import type { SegmentReader, SegmentSpan } from "../exchange/index.ts";
import type { Compute, FrameJob } from "../ports/index.ts";
import { SEGMENT_HEADER_BYTES } from "../segments/index.ts";

export interface WantedChunk {
  readonly id: Uint8Array;
  readonly place: ChunkPlace;
}

export interface ChunkReaderComponents {
  readonly catalog: Catalog;
  readonly reader: SegmentReader;
  readonly compute: Pick<Compute, "open">;
}

/**
 * Plaintext that is held at a time while one segment is opened: a segment of zeros would be gigabytes. One of the longest
 * chunks; more at a time costs memory in two threads and saves only messages.
 */
const OPEN_BYTES = 4 * MIB;

/** Chunks back from segments: fetched, decrypted, unpacked, and each checked against its id before anybody sees it. */
export class ChunkReader {
  readonly #c: ChunkReaderComponents;
  readonly #keys: OwnerKeys;

  constructor(components: ChunkReaderComponents, init: { keys: OwnerKeys }) {
    this.#c = components;
    this.#keys = init.keys;
  }

  get bytesFetched(): number {
    return this.#c.reader.bytesFetched;
  }

  /** Throws `CHUNK_UNKNOWN`. */
  place(id: Uint8Array): ChunkPlace {
    const place = this.#c.catalog.chunks.get(id);
    if (place === undefined) throw new Fault({ code: "CHUNK_UNKNOWN", chunk: toHex(id) });
    return place;
  }

  /** A few chunks, in order; all are in memory at the end. */
  async read(ids: readonly Uint8Array[], signal?: AbortSignal): Promise<Uint8Array[]> {
    return this.readAt(
      ids.map((id) => ({ id, place: this.place(id) })),
      signal,
    );
  }

  async readAt(wanted: readonly WantedChunk[], signal?: AbortSignal): Promise<Uint8Array[]> {
    const found = new Map<string, Uint8Array>();
    for (const group of bySegment(wanted)) {
      for await (const { chunk, bytes } of this.readSegment(group, signal)) found.set(toHex(chunk.id), bytes);
    }
    return wanted.map(({ id }) => must(found.get(toHex(id)), "chunk that was read"));
  }

  /** Chunks of one segment, a bounded part of them at a time. */
  async *readSegment(
    wanted: readonly WantedChunk[],
    signal?: AbortSignal,
  ): AsyncGenerator<{ chunk: WantedChunk; bytes: Uint8Array }> {
    const ref = must(wanted[0], "wanted chunk").place;
    const { bytes: sealed, release } = await this.#c.reader.read(ref, this.#spans(ref, wanted), signal);
    try {
      const header = await this.#header(ref, sealed);
      for (const batch of batches(wanted)) {
        const frames = batch.map(({ id, place }): FrameJob => {
          const { frame, offset, sealedBytes, rawBytes, compressed } = place;
          return { id, frame, rawBytes, compressed, sealed: sealed.subarray(offset, offset + sealedBytes) };
        });
        const { owner, incarnation, number } = this.#c.catalog.segmentId(ref);
        const opened = await this.#c.compute.open({
          owner: idBytes(owner),
          incarnation: idBytes(incarnation),
          segment: number,
          dataKey: this.#keys.dataKey,
          chunkIdKey: this.#keys.chunkIdKey,
          header,
          frames,
        });
        for (const [i, chunk] of batch.entries()) yield { chunk, bytes: must(opened[i], "opened frame") };
      }
    } finally {
      release();
    }
  }

  #spans(ref: SegmentRef, wanted: readonly WantedChunk[]): SegmentSpan[] {
    const frames = wanted.map(({ place }) => ({ from: place.offset, to: place.offset + place.sealedBytes }));
    const known = this.#c.catalog.segments.get(ref)?.header !== undefined;
    return known ? frames : [{ from: 0, to: SEGMENT_HEADER_BYTES }, ...frames];
  }

  async #header(ref: SegmentRef, sealed: Uint8Array): Promise<Uint8Array> {
    const record = must(this.#c.catalog.segments.get(ref), "segment record");
    if (record.header !== undefined) return record.header;
    const header = sealed.slice(0, SEGMENT_HEADER_BYTES);
    await this.#c.catalog.segments.put(ref, { ...record, header }, { sync: false });
    return header;
  }
}

export function bySegment(wanted: readonly WantedChunk[]): WantedChunk[][] {
  const groups = new Map<string, WantedChunk[]>();
  for (const chunk of wanted) {
    const key = refKey(chunk.place);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [chunk]);
    else group.push(chunk);
  }
  return [...groups.values()];
}

function* batches(wanted: readonly WantedChunk[]): Generator<WantedChunk[]> {
  let batch: WantedChunk[] = [];
  let bytes = 0;
  for (const chunk of wanted) {
    if (batch.length > 0 && bytes + chunk.place.rawBytes > OPEN_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(chunk);
    bytes += chunk.place.rawBytes;
  }
  if (batch.length > 0) yield batch;
}
