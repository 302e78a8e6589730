import { must } from "../base/assert.ts";
import { TaskPool } from "../base/concurrency.ts";
import type { BytePath } from "../base/paths.ts";
import type { ContentPiece } from "../catalog/index.ts";
import type { Compute, FileStat, IngestJob, IngestKeys, IngestResult } from "../ports/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { CaptureReport } from "./report.ts";

/** What was read of a file. */
export interface FileRead {
  readonly pieces: readonly ContentPiece[];
  readonly size: number;
  /** The stat that belongs to what was read. */
  readonly stat: FileStat;
  /** It changed under us, again and again: the bytes are those that were read, of no one moment. */
  readonly changed: boolean;
}

export type FileOutcome = FileRead | { readonly errno: string };

export interface IngesterComponents {
  readonly compute: Pick<Compute, "ingest">;
  readonly store: ChunkStore;
  readonly report: CaptureReport;
}

interface Pending {
  readonly job: IngestJob;
  readonly settle: (outcome: FileOutcome) => void;
  readonly fail: (error: unknown) => void;
}

/** Small files go to a worker together, up to a few chunks' worth: one message costs as much as reading a small file. */
const BATCH_FILES = 128;
const BATCH_CHUNKS = 4;
/** Batches and large files under way; each holds its chunks in memory until they are stored. */
const UNDER_WAY = 2;
/** A file that changed while it was read is read again so often before it is taken as it comes. */
const READS_MAX = 3;

/**
 * Reads files into chunks and stores these, many small ones at a time and large ones window by window. `read`
 * waits when too much is under way, which holds the walk back.
 */
export class Ingester {
  readonly #c: IngesterComponents;
  readonly #keys: IngestKeys;
  readonly #signal: AbortSignal;
  readonly #pool = new TaskPool(UNDER_WAY);
  readonly #batchBytesMax: number;
  #batch: Pending[] = [];
  #batchBytes = 0;

  constructor(components: IngesterComponents, init: { keys: IngestKeys; signal: AbortSignal }) {
    this.#c = components;
    this.#keys = init.keys;
    this.#signal = init.signal;
    this.#batchBytesMax = BATCH_CHUNKS * init.keys.sizes.averageBytes;
  }

  /** Resolves once the file is taken in; `outcome` settles when it is read and its chunks are stored or collected. */
  async read(path: BytePath, expected: FileStat): Promise<{ outcome: Promise<FileOutcome> }> {
    this.#signal.throwIfAborted();
    const job = { path, expected, offset: 0 };
    let pending: Pending | undefined;
    const outcome = new Promise<FileOutcome>((settle, fail) => {
      pending = { job, settle, fail };
    });
    outcome.catch(() => {}); // whoever awaits it later still sees the failure
    const entry = must(pending, "pending file");
    if (expected.size > this.#batchBytesMax) await this.#pool.add(() => this.#readAlone(entry));
    else {
      this.#batch.push(entry);
      this.#batchBytes += expected.size;
      if (this.#batch.length >= BATCH_FILES || this.#batchBytes >= this.#batchBytesMax) await this.flush();
    }
    return { outcome };
  }

  /** Starts what has been collected. */
  async flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    if (batch.length > 0) await this.#pool.add(() => this.#readBatch(batch));
  }

  async finish(): Promise<void> {
    await this.flush();
    await this.#pool.drain();
  }

  async #readBatch(batch: readonly Pending[]): Promise<void> {
    try {
      const results = await this.#c.compute.ingest(
        batch.map((pending) => pending.job),
        this.#keys,
      );
      for (const [i, pending] of batch.entries())
        await this.#take(pending, must(results[i], "result of a file"));
    } catch (error) {
      for (const pending of batch) pending.fail(error);
      throw error;
    }
  }

  async #take(pending: Pending, result: IngestResult): Promise<void> {
    if (result.errno !== undefined || result.changedTo !== undefined || result.nextOffset !== undefined) {
      pending.settle(await this.#readWhole(pending.job.path, pending.job.expected, result));
      return;
    }
    this.#c.report.bytesRead += result.bytesRead;
    const pieces = await this.#storePieces(result);
    pending.settle({ pieces, size: sizeOf(pieces), stat: pending.job.expected, changed: false });
  }

  async #readAlone(pending: Pending): Promise<void> {
    try {
      pending.settle(await this.#readWhole(pending.job.path, pending.job.expected, undefined));
    } catch (error) {
      pending.fail(error);
      throw error;
    }
  }

  /** Window by window, and once more from the start when it changed meanwhile. */
  async #readWhole(
    path: BytePath,
    expected: FileStat,
    first: IngestResult | undefined,
  ): Promise<FileOutcome> {
    let stat = expected;
    for (let read = 1; ; read++) {
      const pieces: ContentPiece[] = [];
      let changedTo: FileStat | undefined;
      for (let offset: number | undefined = 0; offset !== undefined; ) {
        this.#signal.throwIfAborted();
        const known = read === 1 && offset === 0 ? first : undefined;
        const result: IngestResult = known ?? (await this.#window({ path, expected: stat, offset }));
        if (result.errno !== undefined) return { errno: result.errno };
        this.#c.report.bytesRead += result.bytesRead;
        pieces.push(...(await this.#storePieces(result)));
        changedTo = result.changedTo ?? changedTo;
        offset = changedTo !== undefined && read < READS_MAX ? undefined : result.nextOffset;
      }
      if (changedTo === undefined) return { pieces, size: sizeOf(pieces), stat, changed: false };
      if (read >= READS_MAX) return { pieces, size: sizeOf(pieces), stat: changedTo, changed: true };
      stat = changedTo;
    }
  }

  async #window(job: IngestJob): Promise<IngestResult> {
    const [result] = await this.#c.compute.ingest([job], this.#keys);
    return must(result, "result of a window");
  }

  async #storePieces(result: IngestResult): Promise<ContentPiece[]> {
    const pieces: ContentPiece[] = [];
    for (const piece of result.pieces) {
      if (piece.kind === "hole") pieces.push({ kind: "hole", bytes: piece.bytes });
      else {
        await this.#c.store.add(piece);
        pieces.push({ kind: "chunk", id: piece.id, rawBytes: piece.rawBytes });
      }
    }
    return pieces;
  }
}

function sizeOf(pieces: readonly ContentPiece[]): number {
  return pieces.reduce((sum, piece) => sum + (piece.kind === "hole" ? piece.bytes : piece.rawBytes), 0);
}
