import { once } from "node:events";
import type { Writable } from "node:stream";

const BUFFER_BYTES = 64 * 1024;

/** The reader of our output closed it, as `head` does: nothing is wrong, and nothing more is to be done. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** Standard output with back-pressure: many small writes become few, and a slow reader slows the caller. */
export class Output {
  readonly #stream: Writable;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #closed = false;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", () => {
      this.#closed = true;
    });
  }

  async write(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    for (const part of parts) {
      const bytes = typeof part === "string" ? Buffer.from(part) : part;
      this.#pending.push(bytes);
      this.#pendingBytes += bytes.length;
    }
    if (this.#pendingBytes >= BUFFER_BYTES) await this.flush();
  }

  async json(value: unknown): Promise<void> {
    await this.write(`${JSON.stringify(value)}\n`);
  }

  async flush(): Promise<void> {
    if (this.#closed) throw new OutputClosed();
    if (this.#pendingBytes === 0) return;
    const bytes = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#stream.write(bytes)) return;
    await once(this.#stream, "drain").catch(() => {
      throw new OutputClosed();
    });
  }

  /** Resolves when everything has been handed to the system. */
  async end(): Promise<void> {
    await this.flush();
    await new Promise<void>((resolve, reject) => {
      this.#stream.write("", (error) => (error ? reject(new OutputClosed()) : resolve()));
    });
  }
}
