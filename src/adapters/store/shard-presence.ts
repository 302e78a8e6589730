import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fromHex, toHex, utf8 } from "../../base/bytes.ts";
import type { MetaStore } from "../../ports/meta-store.ts";
import type { StorePresence } from "../../ports/shard-store.ts";
import { errnoOf } from "./disk-faults.ts";
import type { FileOps } from "./file-ops.ts";

/** Names the directory: 32 hex digits and LF. The index has the same 16 bytes. */
const MARKER = "store-id";
const ID_BYTES = 16;
const MARKER_BYTES = 2 * ID_BYTES + 1;
const ID_KEY = Uint8Array.of(0x04);

/**
 * Whether the directory is still the one that the index is of. A disk that was not mounted, was pulled out or
 * exchanged leaves an empty directory, or somebody else's; taken for ours, all shards would be lost at once.
 */
export class ShardPresence {
  readonly #directory: string;
  readonly #files: FileOps;
  readonly #index: MetaStore;

  constructor(parts: { directory: string; files: FileOps; index: MetaStore }) {
    this.#directory = parts.directory;
    this.#files = parts.files;
    this.#index = parts.index;
  }

  /** Where index or directory has no name yet, it gets that of the other, or both a new one. */
  async open(): Promise<StorePresence> {
    const known = this.#index.get(ID_KEY);
    if (known !== undefined) return this.look();
    const found = await this.#read();
    const id = found ?? new Uint8Array(randomBytes(ID_BYTES));
    if (found === undefined) await this.#mark(id);
    await this.#index.write([{ type: "put", key: ID_KEY, value: id }], { sync: true });
    return { present: true };
  }

  async look(): Promise<StorePresence> {
    const known = this.#index.get(ID_KEY);
    let found: Uint8Array | undefined;
    try {
      found = await this.#read();
    } catch (error) {
      return this.#gone(`its disk does not answer (${errnoOf(error)})`);
    }
    if (found === undefined) return this.#gone(`it has no file ${MARKER}: is its disk mounted?`);
    if (known === undefined || toHex(found) !== toHex(known))
      return this.#gone("it is the folder of another store");
    return { present: true };
  }

  /** The directory as it is now is the store's. */
  async accept(): Promise<void> {
    const id = this.#index.get(ID_KEY);
    if (id !== undefined) await this.#mark(id);
  }

  #gone(reason: string): StorePresence {
    return { present: false, reason: `${this.#directory}: ${reason}` };
  }

  /** `undefined` when there is no marker, or none that can be read as one. */
  async #read(): Promise<Uint8Array | undefined> {
    const bytes = await this.#files.read(join(this.#directory, MARKER), 0, MARKER_BYTES);
    if (bytes === undefined) return undefined;
    const id = fromHex(new TextDecoder().decode(bytes).trimEnd());
    return id?.length === ID_BYTES ? id : undefined;
  }

  async #mark(id: Uint8Array): Promise<void> {
    const path = join(this.#directory, MARKER);
    await this.#files.makeDirectory(this.#directory);
    const file = await this.#files.create(`${path}.tmp`);
    try {
      await file.write(utf8(`${toHex(id)}\n`));
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#files.rename(`${path}.tmp`, path);
    await this.#files.syncDirectory(this.#directory);
  }
}
