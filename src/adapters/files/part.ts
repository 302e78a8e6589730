import { read, write } from "node:fs";
import { assert } from "../../base/assert.ts";
import type { Fault } from "../../base/fault.ts";
import type { TargetPart } from "../../ports/file-tree.ts";
import { libc } from "./libc.ts";
import { writeAll } from "./temporary.ts";
import { turnIfDue } from "./turn.ts";

/**
 * Up to here the copy into the page cache is cheaper than a trip to the thread pool (about 50 us); above, and
 * whenever the kernel holds back a writer until the disk has caught up, it is better not to stand still.
 */
export const SYNC_WRITE_BYTES = 128 * 1024;

/** 0 or the negative errno. */
export async function writeFully(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  if (bytes.length <= SYNC_WRITE_BYTES) return writeAll(fd, bytes, offset);
  let done = 0;
  while (done < bytes.length) {
    const written = await inPool((settle) =>
      write(fd, bytes, done, bytes.length - done, offset + done, settle),
    );
    if (written < 0) return written;
    done += written;
  }
  return 0;
}

function inPool(
  start: (settle: (error: NodeJS.ErrnoException | null, bytes: number) => void) => void,
): Promise<number> {
  const EIO = 5;
  return new Promise((resolve) => {
    // libuv's errno is the kernel's, already negative.
    start((error, bytes) => resolve(error === null ? bytes : (error.errno ?? -EIO)));
  });
}

/** A file that is being filled in any order. */
export class DiskPart implements TargetPart {
  readonly size: number;
  #fd: number;
  #busy = 0;
  #closing = false;
  readonly #fault: (result: number) => Fault;

  constructor(fd: number, size: number, fault: (result: number) => Fault) {
    this.#fd = fd;
    this.size = size;
    this.#fault = fault;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await turnIfDue();
    const result = await this.#use((fd) => writeFully(fd, bytes, offset));
    if (result < 0) throw this.#fault(result);
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const bytes = await this.#use((fd) =>
        inPool((settle) => read(fd, into, done, into.length - done, offset + done, settle)),
      );
      if (bytes < 0) throw this.#fault(bytes);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#closeIfIdle();
  }

  // A descriptor number is given out again as soon as it is closed: never while the thread pool still uses it.
  async #use(task: (fd: number) => Promise<number>): Promise<number> {
    assert(!this.#closing, "a closed part is not used");
    this.#busy++;
    try {
      return await task(this.#fd);
    } finally {
      this.#busy--;
      this.#closeIfIdle();
    }
  }

  #closeIfIdle(): void {
    if (!this.#closing || this.#busy > 0 || this.#fd < 0) return;
    libc().close(this.#fd);
    this.#fd = -1;
  }
}
