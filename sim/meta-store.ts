import { Buffer } from "node:buffer";
import { assert } from "../src/base/assert.ts";
import { bufferOf } from "../src/base/bytes.ts";
import type { MetaOp, MetaRange, MetaStore } from "../src/ports/meta-store.ts";
import type { DiskTenant, SimDisk } from "./disk.ts";
import type { SeededRng } from "./rng.ts";

const ENTRY_OVERHEAD_BYTES = 32;
/** A scan looks at the sorted keys anew after so many, as other operations may have changed them. */
const SCAN_PAGE = 256;

/** What was in place of a key before an unsynced write. */
type Undo = readonly [key: string, before: Uint8Array | undefined][];

/**
 * The bytes of a MetaStore on a simulated disk. Keys are held as latin1 strings, whose order is that of the
 * bytes. `open` gives the store of one life of the machine.
 */
export class SimMetaDisk implements DiskTenant {
  readonly #disk: SimDisk;
  readonly #entries = new Map<string, Uint8Array>();
  /** Sorted lazily: most writes come in bursts between scans. */
  #sorted: string[] | undefined;
  #usedBytes = 0;
  /** Unsynced writes, oldest first: a loss of power undoes some of the last ones. */
  #unsynced: Undo[] = [];

  constructor(disk: SimDisk) {
    this.#disk = disk;
    disk.attach(this);
  }

  open(): MetaStore {
    return new SimMetaStore(this, this.#disk);
  }

  usedBytes(): number {
    return this.#usedBytes;
  }

  losePower(rng: SeededRng): void {
    for (let lost = rng.below(this.#unsynced.length + 1); lost > 0; lost--) {
      for (const [key, before] of (this.#unsynced.pop() ?? []).toReversed()) this.#set(key, before);
    }
    this.#unsynced = [];
  }

  wipe(): void {
    this.#entries.clear();
    this.#sorted = undefined;
    this.#usedBytes = 0;
    this.#unsynced = [];
  }

  /** Whether the power could take something of this namespace, named by its first byte. */
  hasUnsynced(namespace: number): boolean {
    return this.#unsynced.some((undo) => undo.some(([key]) => key.charCodeAt(0) === namespace));
  }

  image(): () => void {
    // Values are never written into: a copy of the map is a copy of all.
    const entries = [...this.#entries];
    return () => {
      this.wipe();
      for (const [key, value] of entries) this.#set(key, value);
    };
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.get(key);
  }

  /** Keeps the values as they are given. */
  apply(ops: readonly MetaOp[], sync: boolean): void {
    const undo: [string, Uint8Array | undefined][] = [];
    for (const op of ops) {
      const key = keyOf(op.key);
      undo.push([key, this.#entries.get(key)]);
      this.#set(key, op.type === "put" ? op.value : undefined);
    }
    if (sync) this.#unsynced = [];
    else this.#unsynced.push(undo);
  }

  /** Up to `limit` entries of the range. */
  page(range: MetaRange, limit: number): [key: string, value: Uint8Array][] {
    this.#sorted ??= [...this.#entries.keys()].sort();
    const first = range.from === undefined ? 0 : lowerBound(this.#sorted, keyOf(range.from));
    const end = range.to === undefined ? this.#sorted.length : lowerBound(this.#sorted, keyOf(range.to));
    const keys =
      range.reverse === true
        ? this.#sorted.slice(Math.max(first, end - limit), Math.max(first, end)).reverse()
        : this.#sorted.slice(first, Math.min(end, first + limit));
    return keys.map((key) => [key, this.#entries.get(key) ?? new Uint8Array(0)]);
  }

  #set(key: string, value: Uint8Array | undefined): void {
    const before = this.#entries.get(key);
    if (before !== undefined) this.#usedBytes -= key.length + before.length + ENTRY_OVERHEAD_BYTES;
    if (value === undefined) this.#entries.delete(key);
    else {
      this.#entries.set(key, value);
      this.#usedBytes += key.length + value.length + ENTRY_OVERHEAD_BYTES;
    }
    if ((before === undefined) !== (value === undefined)) this.#sorted = undefined;
  }
}

class SimMetaStore implements MetaStore {
  readonly #data: SimMetaDisk;
  readonly #disk: SimDisk;
  readonly #life: number;
  #closed = false;

  constructor(data: SimMetaDisk, disk: SimDisk) {
    this.#data = data;
    this.#disk = disk;
    this.#life = disk.life;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    const value = this.#data.get(keyOf(key));
    return value === undefined ? undefined : new Uint8Array(value);
  }

  async *scan(range: MetaRange): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    let rest = range;
    let left = range.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      await this.#disk.reading(0);
      this.#checkOpen();
      const page = this.#data.page(rest, Math.min(SCAN_PAGE, left));
      const last = page.at(-1);
      if (last === undefined) return;
      left -= page.length;
      rest =
        range.reverse === true
          ? { ...rest, to: bytesOf(last[0]) }
          : { ...rest, from: bytesOf(`${last[0]}\0`) };
      for (const [key, value] of page) yield [bytesOf(key), new Uint8Array(value)];
    }
  }

  async write(ops: readonly MetaOp[], { sync }: { readonly sync: boolean }): Promise<void> {
    this.#checkOpen();
    if (ops.length === 0) return;
    // `slice` of a Buffer would be a view of the caller's memory.
    const copies = ops.map((op) =>
      op.type === "put"
        ? { ...op, key: new Uint8Array(op.key), value: new Uint8Array(op.value) }
        : { ...op, key: new Uint8Array(op.key) },
    );
    const grows = copies.reduce(
      (sum, op) => sum + (op.type === "put" ? op.key.length + op.value.length + ENTRY_OVERHEAD_BYTES : 0),
      0,
    );
    await this.#disk.writing(grows, sync, () => this.#data.apply(copies, sync));
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #checkOpen(): void {
    assert(!this.#closed, "a closed store is not used");
    assert(this.#disk.life === this.#life, "a store is opened anew after a loss of power");
  }
}

function keyOf(key: Uint8Array): string {
  return bufferOf(key).toString("latin1");
}

function bytesOf(key: string): Uint8Array {
  return Buffer.from(key, "latin1");
}

/** Index of the first element that is not below `key`. */
function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
