import { letGo, toHex } from "../base/bytes.ts";
import { TaskPool } from "../base/concurrency.ts";
import { Fault, isFault, type SegmentShortage } from "../base/fault.ts";
import type { ChunkReader, WantedChunk } from "./chunk-reader.ts";
import { bySegment } from "./chunk-reader.ts";
import type { FileWriter, PlannedFile } from "./file-writer.ts";
import type { RestoreReport } from "./report.ts";

/** Segments read at the same time: each holds its sealed bytes and a part of its plaintext in memory. */
const SEGMENTS_UNDER_WAY = 2;

/** One place that a chunk goes to. */
interface Destination {
  readonly file: PlannedFile;
  readonly position: number;
}

/**
 * Files that are restored together: each segment that any of them needs is read once, and what comes out of it goes to
 * every place that wants it.
 */
export class RestoreWindow {
  readonly #chunks: ChunkReader;
  readonly #writer: FileWriter;
  readonly #report: RestoreReport;
  readonly #partial: boolean;
  readonly #wanted = new Map<string, { chunk: WantedChunk; destinations: Destination[] }>();
  readonly #lost = new Map<string, SegmentShortage>();
  pieces = 0;
  bytes = 0;

  /** @param init.partial leave out files that cannot be had, instead of ending with `TOO_FEW_SHARDS`. */
  constructor(
    components: { chunks: ChunkReader; writer: FileWriter; report: RestoreReport },
    init: { partial: boolean },
  ) {
    this.#chunks = components.chunks;
    this.#writer = components.writer;
    this.#report = components.report;
    this.#partial = init.partial;
  }

  /** Throws `CHUNK_UNKNOWN`, and has then begun nothing. */
  async add(file: PlannedFile): Promise<void> {
    for (const piece of file.pieces) if (piece.kind === "chunk") this.#chunks.place(piece.id);
    for (const position of await this.#writer.begin(file)) {
      const piece = file.pieces[position];
      if (piece?.kind !== "chunk") continue;
      const key = toHex(piece.id);
      const known = this.#wanted.get(key);
      const destination = { file, position };
      if (known !== undefined) known.destinations.push(destination);
      else {
        const chunk = { id: piece.id, place: this.#chunks.place(piece.id) };
        this.#wanted.set(key, { chunk, destinations: [destination] });
      }
      this.pieces++;
      this.bytes += piece.rawBytes;
    }
  }

  async run(signal: AbortSignal, onBytes: () => void): Promise<void> {
    const pool = new TaskPool(SEGMENTS_UNDER_WAY);
    try {
      for (const group of bySegment([...this.#wanted.values()].map((wanted) => wanted.chunk))) {
        await pool.add(async () => {
          signal.throwIfAborted();
          await this.#readGroup(group, signal, onBytes);
        });
      }
    } finally {
      // Whoever clears up after a failure must find nothing still writing.
      await pool.drain();
    }
    if (this.#lost.size > 0 && !this.#partial) {
      throw new Fault({ code: "TOO_FEW_SHARDS", shortages: [...this.#lost.values()] });
    }
  }

  async #readGroup(group: readonly WantedChunk[], signal: AbortSignal, onBytes: () => void): Promise<void> {
    try {
      for await (const { chunk, bytes } of this.#chunks.readSegment(group, signal)) {
        for (const { file, position } of this.#wanted.get(toHex(chunk.id))?.destinations ?? []) {
          await this.#writeOrReport(file, position, bytes);
        }
        letGo(bytes);
        onBytes();
      }
    } catch (error) {
      if (!isFault(error, "TOO_FEW_SHARDS", "SEGMENT_UNREADABLE")) throw error;
      if (error.detail.code === "TOO_FEW_SHARDS") {
        for (const shortage of error.detail.shortages)
          this.#lost.set(`${shortage.segment.incarnation}/${shortage.segment.number}`, shortage);
      } else if (!this.#partial) throw error;
      await this.#giveUp(group, error.message);
    }
  }

  async #writeOrReport(file: PlannedFile, position: number, bytes: Uint8Array): Promise<void> {
    try {
      await this.#writer.write(file, position, bytes);
    } catch (error) {
      if (!isFault(error, "TARGET_FAILED", "TARGET_UNSAFE")) throw error;
      if (await this.#writer.abandon(file))
        this.#report.problem(file.selected.path, "contents", error.message);
    }
  }

  async #giveUp(group: readonly WantedChunk[], why: string): Promise<void> {
    const files = new Set(
      group.flatMap((chunk) =>
        (this.#wanted.get(toHex(chunk.id))?.destinations ?? []).map(({ file }) => file),
      ),
    );
    for (const file of files) {
      if (await this.#writer.abandon(file)) this.#report.problem(file.selected.path, "contents", why);
    }
  }
}
