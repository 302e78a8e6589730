import { assert } from "../../base/assert.ts";
import type { Fault } from "../../base/fault.ts";
import type { BytePath } from "../../base/paths.ts";
import type { FileOpener, FileStat, OpenFile } from "../../ports/file-tree.ts";
import { EINTR, EINVAL, EISDIR, ENXIO } from "./errno.ts";
import { libc, SEEK_DATA, SEEK_HOLE } from "./libc.ts";
import { openForReading } from "./listing.ts";
import { reach } from "./long-path.ts";
import { sourceFault } from "./source-fault.ts";
import { statOf } from "./stat.ts";

/** A regular file open for reading; `fault` makes what is thrown out of a negative errno. */
export class DiskFile implements OpenFile {
  #fd: number;
  readonly #fault: (result: number) => Fault;

  constructor(fd: number, fault: (result: number) => Fault) {
    this.#fd = fd;
    this.#fault = fault;
  }

  stat(): FileStat {
    const stat = statOf(this.#open());
    if (typeof stat === "number") throw this.#fault(stat);
    return stat;
  }

  read(offset: number, into: Uint8Array): number {
    const fd = this.#open();
    let done = 0;
    while (done < into.length) {
      const room = done === 0 ? into : into.subarray(done);
      const bytes = libc().pread(fd, room, room.length, offset + done);
      if (bytes === -EINTR) continue;
      if (bytes < 0) throw this.#fault(bytes);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  nextData(offset: number): number | undefined {
    const at = libc().lseek(this.#open(), offset, SEEK_DATA);
    if (at === -ENXIO) return undefined;
    // A file system that knows no holes: everything up to the end is data.
    if (at === -EINVAL) return offset < this.stat().size ? offset : undefined;
    if (at < 0) throw this.#fault(at);
    return at;
  }

  nextHole(offset: number): number {
    const at = libc().lseek(this.#open(), offset, SEEK_HOLE);
    if (at === -ENXIO || at === -EINVAL) return Math.max(offset, this.stat().size);
    if (at < 0) throw this.#fault(at);
    return at;
  }

  close(): void {
    if (this.#fd < 0) return;
    libc().close(this.#fd);
    this.#fd = -1;
  }

  #open(): number {
    assert(this.#fd >= 0, "a closed file is not used");
    return this.#fd;
  }
}

/** A descriptor of a regular file, or the negative errno: EISDIR, ELOOP for a link, EINVAL for anything else. */
export function openRegular(dir: number, path: BytePath): number {
  const fd = openForReading(dir, path, 0);
  if (fd < 0) return fd;
  const stat = statOf(fd);
  if (typeof stat !== "number" && stat.type === "file") return fd;
  libc().close(fd);
  if (typeof stat === "number") return stat;
  return stat.type === "directory" ? -EISDIR : -EINVAL;
}

/** Safe to use in any thread: it keeps nothing between calls. */
export function createFileOpener(): FileOpener {
  libc();
  return {
    open(path) {
      const fd = reach(path, openRegular, (result) => result);
      if (fd < 0) throw sourceFault(path, fd);
      return new DiskFile(fd, (result) => sourceFault(path, result));
    },
  };
}
