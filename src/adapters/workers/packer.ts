import { KIB } from "../../base/units.ts";
import type { WorkerResult, WorkerTask } from "./messages.ts";

/** Below this, moving an ArrayBuffer of its own costs more than copying its bytes into a shared one. */
const SMALL_BYTES = 8 * KIB;
/** The first shared buffer of a message, and the largest: each is twice the one before. */
const SLAB_BYTES_MIN = KIB;
const SLAB_BYTES_MAX = 64 * KIB;
const NEARLY_ALL = 7 / 8;

/**
 * Makes the bytes of a message fit to be moved to another thread. Posted as it is, a view drags the whole buffer
 * behind it along, twice copied: a 32-byte id out of Node's pool takes 64 KiB of other people's bytes with it.
 */
export class Packer {
  /** The buffers to move with the message. */
  readonly transfer: ArrayBuffer[] = [];
  #slab = new Uint8Array(0);
  #slabBytes = SLAB_BYTES_MIN;
  #used = 0;

  /** A copy: the caller keeps its bytes, which a transfer would take away under its hands. */
  readonly copy = (bytes: Uint8Array): Uint8Array => {
    if (bytes.length >= SMALL_BYTES) return this.#move(new Uint8Array(bytes));
    if (this.#used + bytes.length > this.#slab.length) {
      // What is copied may be kept for long, and then keeps all of its buffer: a large one for every small message
      // made the chunks of 2,400 directories, a few KiB each, cost 160 MB.
      this.#slab = this.#move(new Uint8Array(Math.max(this.#slabBytes, bytes.length)));
      this.#slabBytes = Math.min(2 * this.#slabBytes, SLAB_BYTES_MAX);
      this.#used = 0;
    }
    const place = this.#slab.subarray(this.#used, this.#used + bytes.length);
    place.set(bytes);
    this.#used += bytes.length;
    return place;
  };

  /**
   * The bytes themselves where they are nearly all of their buffer (zstd's output has a byte to spare) and worth
   * it, else a copy. Only for bytes that nobody else has. Views into Node's pool are less than half of it.
   */
  readonly give = (bytes: Uint8Array): Uint8Array => {
    const { buffer } = bytes;
    const nearlyAll = bytes.length >= buffer.byteLength * NEARLY_ALL;
    if (!nearlyAll || bytes.length < SMALL_BYTES || !(buffer instanceof ArrayBuffer)) return this.copy(bytes);
    this.transfer.push(buffer);
    return bytes;
  };

  #move(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    this.transfer.push(bytes.buffer);
    return bytes;
  }
}

/**
 * The task with copies of its bytes: one copy in the caller's thread, instead of two. Moving the originals would leave a
 * caller that tries again after a lost worker with empty arrays; only the chunks of a segment, which `seal` takes over,
 * are moved where they can be.
 */
export function packTask(task: WorkerTask, { copy, give }: Packer): WorkerTask {
  switch (task.kind) {
    case "ingest": {
      const { chunkIdKey, gearKey, sizes } = task.keys;
      return { ...task, keys: { chunkIdKey: copy(chunkIdKey), gearKey: copy(gearKey), sizes } };
    }
    case "prepare":
      return { ...task, chunks: task.chunks.map(copy), chunkIdKey: copy(task.chunkIdKey) };
    case "seal": {
      const { job } = task;
      return {
        ...task,
        job: {
          ...job,
          owner: copy(job.owner),
          incarnation: copy(job.incarnation),
          dataKey: copy(job.dataKey),
          saltKey: copy(job.saltKey),
          random: copy(job.random),
          chunks: job.chunks.map((chunk) => ({ ...chunk, id: copy(chunk.id), stored: give(chunk.stored) })),
        },
      };
    }
    case "rebuild": {
      const have = task.job.have.map((shard) => ({ ...shard, bytes: copy(shard.bytes) }));
      return { ...task, job: { ...task.job, have } };
    }
    case "roots":
      return { ...task, jobs: task.jobs.map((job) => ({ ...job, bytes: copy(job.bytes) })) };
    case "open": {
      const { job } = task;
      return {
        ...task,
        job: {
          ...job,
          owner: copy(job.owner),
          incarnation: copy(job.incarnation),
          dataKey: copy(job.dataKey),
          chunkIdKey: copy(job.chunkIdKey),
          header: copy(job.header),
          frames: job.frames.map((frame) => ({ ...frame, id: copy(frame.id), sealed: copy(frame.sealed) })),
        },
      };
    }
  }
}

/** The result with its large arrays moved: results of src/compute belong to nobody else. */
export function packResult(result: WorkerResult, { give }: Packer): WorkerResult {
  switch (result.kind) {
    case "ingest":
      return {
        ...result,
        value: result.value.map((file) => ({
          ...file,
          pieces: file.pieces.map((piece) =>
            piece.kind === "hole" ? piece : { ...piece, id: give(piece.id), stored: give(piece.stored) },
          ),
        })),
      };
    case "prepare":
      return {
        ...result,
        value: result.value.map((chunk) => ({ ...chunk, id: give(chunk.id), stored: give(chunk.stored) })),
      };
    case "seal": {
      const { shards, roots } = result.value;
      return { ...result, value: { ...result.value, shards: shards.map(give), roots: roots.map(give) } };
    }
    case "rebuild":
    case "roots":
    case "open":
      return { ...result, value: result.value.map(give) };
  }
}
