import { assert } from "../src/base/assert.ts";
import type { Spool } from "../src/ports/spool.ts";
import type { DiskTenant, SimDisk } from "./disk.ts";

/** The files of a Spool on a simulated disk. */
export class SimSpoolDisk implements DiskTenant {
  readonly #disk: SimDisk;
  readonly #files = new Map<string, Uint8Array>();

  constructor(disk: SimDisk) {
    this.#disk = disk;
    disk.attach(this);
  }

  usedBytes(): number {
    let used = 0;
    for (const bytes of this.#files.values()) used += bytes.length;
    return used;
  }

  /** Nothing is unsynced between operations: a put under way is absent, as its operation never went on. */
  losePower(): void {}

  wipe(): void {
    this.#files.clear();
  }

  image(): () => void {
    const files = [...this.#files];
    return () => {
      this.wipe();
      for (const [name, bytes] of files) this.#files.set(name, bytes);
    };
  }

  open(): Spool {
    const disk = this.#disk;
    const files = this.#files;
    return {
      async put(name, bytes) {
        checkName(name);
        const copy = new Uint8Array(bytes);
        await disk.writing(copy.length, true, () => void files.set(name, copy));
      },
      async get(name) {
        checkName(name);
        const bytes = files.get(name)?.slice();
        await disk.reading(bytes?.length ?? 0);
        return bytes;
      },
      async delete(name) {
        checkName(name);
        await disk.writing(0, true, () => void files.delete(name));
      },
      async list() {
        await disk.reading(0);
        return [...files]
          .map(([name, bytes]) => ({ name, bytes: bytes.length }))
          .sort((a, b) => (a.name < b.name ? -1 : 1));
      },
      async diskSpace() {
        return { freeBytes: disk.freeBytes(), totalBytes: disk.totalBytes };
      },
    };
  }
}

function checkName(name: string): void {
  assert(/^[a-z0-9-]{1,200}$/.test(name), "a spool name is of [a-z0-9-]");
}
