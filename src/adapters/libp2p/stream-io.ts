import type { Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import { assert } from "../../base/assert.ts";
import { KIB, SECOND_MS } from "../../base/units.ts";
import { UNASKED_BYTES_MAX, WRITE_CHUNK_BYTES } from "./limits.ts";

/** The other end ended the stream, or the connection under it broke. */
export class StreamEnded extends Error {
  override readonly name = "StreamEnded";
}

/** Both ends have said all they had to: a peer that does not end its half in this time has its stream reset. */
const LINGER_MS = 10 * SECOND_MS;

export function endLater(stream: Stream): void {
  if (stream.status !== "open") return;
  const timer = setTimeout(() => stream.abort(new Error("the other end did not end the stream")), LINGER_MS);
  timer.unref();
  stream.addEventListener("close", () => clearTimeout(timer), { once: true });
}

/**
 * A stream that broke may keep what it was handed for as long as something keeps the stream: of a view that would be the
 * whole message behind it, which nobody counts any more.
 */
function ofItsOwn(chunk: Uint8Array): Uint8Array {
  return chunk.length === chunk.buffer.byteLength ? chunk : chunk.slice();
}

function discardRest(stream: Stream): void {
  if (stream.status !== "open") return;
  let bytes = 0;
  stream.addEventListener("message", (event) => {
    bytes += event.data.byteLength;
    if (bytes > UNASKED_BYTES_MAX + KIB) stream.abort(new Error("more came than was announced"));
  });
  if (stream.readStatus === "paused") stream.resume();
}

/**
 * Exact reads and writes on a libp2p stream with back-pressure in both directions. What the stream itself
 * offers for this has none: `onDrain()` resolves for ever after its first time, async iteration and the
 * length-prefixed helpers read without bound. So:
 * - bytes are copied straight into the buffer that a read is filling; when none is, the stream is paused, the
 *   sender's window runs out, and at most one window is queued here;
 * - a write returns once the stream has taken everything over: it waits for `drain` events until the
 *   stream's own buffer is empty, since one event may make room for less than one chunk.
 */
export class StreamIo {
  readonly #stream: Stream;
  readonly #signal: AbortSignal;
  /** Something came in or left. */
  readonly #onProgress: () => void;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #target: { bytes: Uint8Array; filled: number } | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #ended: Error | undefined;
  #remoteDone = false;

  /** `signal` ends everything that waits, and resets the stream. */
  constructor(stream: Stream, signal: AbortSignal, onProgress: () => void) {
    this.#stream = stream;
    this.#signal = signal;
    this.#onProgress = onProgress;
    stream.addEventListener("message", this.#onMessage);
    stream.addEventListener("drain", this.#onDrain);
    stream.addEventListener("remoteCloseWrite", this.#onRemoteCloseWrite);
    stream.addEventListener("close", this.#onClose);
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    else if (stream.status !== "open") this.#end(new StreamEnded(`the stream is ${stream.status}`));
  }

  /** Bytes that arrived and nobody has read yet. */
  get queuedBytes(): number {
    return this.#queuedBytes + this.#stream.readBufferLength;
  }

  /** Fills `into`. Throws `StreamEnded`, or the signal's reason. */
  async read(into: Uint8Array): Promise<void> {
    assert(this.#target === undefined, "one read at a time");
    const target = { bytes: into, filled: 0 };
    this.#target = target;
    try {
      this.#takeQueued(target);
      if (target.filled < into.length && this.#stream.readStatus === "paused") this.#stream.resume();
      while (target.filled < into.length) {
        this.#signal.throwIfAborted();
        if (this.#remoteDone && this.#stream.readBufferLength === 0) {
          throw (
            this.#ended ??
            new StreamEnded(`the other end stopped after ${target.filled} of ${into.length} bytes`)
          );
        }
        await new Promise<void>((wake) => {
          this.#wakeReader = wake;
        });
      }
    } finally {
      this.#target = undefined;
    }
  }

  /** Returns once the stream's own buffer is empty again. `bytes` must not change until then. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += WRITE_CHUNK_BYTES) {
      this.#throwIfOver();
      const chunk = ofItsOwn(bytes.subarray(offset, offset + WRITE_CHUNK_BYTES));
      if (!this.#stream.send(chunk)) await this.#drained();
      this.#onProgress();
    }
  }

  /** Says that nothing more comes from this end; the other may still send. */
  async finish(): Promise<void> {
    this.#throwIfOver();
    await this.#stream.close({ signal: this.#signal });
  }

  /**
   * Stops listening. What still comes is thrown away, or each stream that was turned away would keep a window of it;
   * whoever sends more than a request sends unasked is reset. A stream that both ends have finished goes away by itself.
   */
  detach(): void {
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#stream.removeEventListener("message", this.#onMessage);
    this.#stream.removeEventListener("drain", this.#onDrain);
    this.#stream.removeEventListener("remoteCloseWrite", this.#onRemoteCloseWrite);
    this.#stream.removeEventListener("close", this.#onClose);
    this.#signal.removeEventListener("abort", this.#onAbort);
    discardRest(this.#stream);
  }

  reset(reason: Error): void {
    this.#end(reason);
    this.#stream.abort(reason);
  }

  async #drained(): Promise<void> {
    // The stream's own listener goes first and sends on in a microtask, so its buffer is looked at after that.
    do {
      await new Promise<void>((wake) => {
        this.#wakeWriter = wake;
      });
      await Promise.resolve();
      this.#throwIfOver();
    } while (this.#stream.writableNeedsDrain || this.#stream.writeBufferLength > 0);
  }

  #throwIfOver(): void {
    this.#signal.throwIfAborted();
    if (this.#ended !== undefined) throw this.#ended;
  }

  #takeQueued(target: { bytes: Uint8Array; filled: number }): void {
    for (
      let piece = this.#queue[0];
      piece !== undefined && target.filled < target.bytes.length;
      piece = this.#queue[0]
    ) {
      const taken = piece.subarray(0, target.bytes.length - target.filled);
      target.bytes.set(taken, target.filled);
      target.filled += taken.length;
      this.#queuedBytes -= taken.length;
      if (taken.length === piece.length) this.#queue.shift();
      else this.#queue[0] = piece.subarray(taken.length);
    }
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    const pieces = event.data instanceof Uint8Array ? [event.data] : event.data;
    for (const piece of pieces) {
      this.#queue.push(piece);
      this.#queuedBytes += piece.length;
    }
    this.#onProgress();
    const target = this.#target;
    if (target !== undefined) {
      this.#takeQueued(target);
      if (target.filled === target.bytes.length) this.#wake();
    }
    if (this.#queuedBytes > 0 && this.#stream.readStatus === "readable") this.#stream.pause();
  };

  readonly #onDrain = (): void => {
    this.#onProgress();
    this.#wakeWriter?.();
    this.#wakeWriter = undefined;
  };

  readonly #onRemoteCloseWrite = (): void => {
    this.#remoteDone = true;
    this.#wake();
  };

  readonly #onClose = (event: StreamCloseEvent): void => {
    this.#end(new StreamEnded(event.error?.message ?? "the stream was closed", { cause: event.error }));
  };

  readonly #onAbort = (): void => {
    const reason: unknown = this.#signal.reason;
    this.reset(reason instanceof Error ? reason : new Error(String(reason)));
  };

  #end(error: Error): void {
    this.#ended ??= error;
    this.#remoteDone = true;
    this.#wake();
    this.#wakeWriter?.();
    this.#wakeWriter = undefined;
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }
}
