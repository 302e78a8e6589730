import { join } from "node:path";
import { concatBytes, EMPTY_BYTES, utf8 } from "../../base/bytes.ts";
import { type ShardId, shardKey } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { MetaOp, MetaStore } from "../../ports/meta-store.ts";
import type { QuarantinedShard } from "../../ports/shard-store.ts";
import { diskFault } from "./disk-faults.ts";
import type { FileOps } from "./file-ops.ts";
import {
  decodeQuarantine,
  encodeQuarantine,
  idOfKey,
  QUARANTINE_RANGE,
  type QuarantineEntry,
  quarantineKey,
  quarantineOf,
  REASON_BYTES_MAX,
  type ShardEntry,
} from "./shard-codec.ts";
import { ShardFiles } from "./shard-files.ts";
import {
  type ParsedShardFile,
  QUARANTINE_DIRECTORY,
  REASON_SUFFIX,
  type ShardVersion,
  sameVersion,
} from "./shard-layout.ts";
import { quarantineCost } from "./shard-space.ts";

/**
 * Writings that were found to be bad, kept aside. The index entry decides, the file follows: a move that a crash
 * or a sick disk kept from happening is made up for at the next opening.
 */
export class ShardQuarantine {
  readonly #directory: string;
  readonly #fileOps: FileOps;
  readonly #index: MetaStore;
  readonly #log: Log;
  readonly #held: ShardFiles;
  readonly #aside: ShardFiles;

  constructor(parts: {
    directory: string;
    files: FileOps;
    index: MetaStore;
    log: Log;
    /** Where the files of held shards are. */
    held: ShardFiles;
  }) {
    this.#directory = parts.directory;
    this.#fileOps = parts.files;
    this.#index = parts.index;
    this.#log = parts.log;
    this.#held = parts.held;
    this.#aside = new ShardFiles(join(parts.directory, QUARANTINE_DIRECTORY), parts.files);
  }

  async describe(
    id: ShardId,
    entry: ShardEntry,
    why: { readonly reason: string; readonly timeMs: number },
  ): Promise<QuarantineEntry> {
    // Of a file that cannot even be looked at it is not known how much there is.
    const keptBytes = await this.#held.size(id, entry.version).catch(() => entry.bytes);
    const reason = new TextDecoder().decode(utf8(why.reason).subarray(0, REASON_BYTES_MAX));
    return { ...entry, keptBytes: keptBytes ?? 0, sinceMs: why.timeMs, reason };
  }

  entryOp(id: ShardId, entry: QuarantineEntry): MetaOp {
    return { type: "put", key: quarantineKey(id), value: encodeQuarantine(entry) };
  }

  /** Brings the files to what the index says. What cannot be done now is left for the next opening. */
  async setAside(id: ShardId, entry: QuarantineEntry, previous: QuarantineEntry | undefined): Promise<void> {
    try {
      await this.#fileOps.makeDirectory(join(this.#directory, QUARANTINE_DIRECTORY));
      await this.#fileOps.syncDirectory(this.#directory);
      await this.#aside.writeRemark(id, entry.version, REASON_SUFFIX, remark(id, entry));
      await this.#held.moveTo(this.#aside, id, entry.version);
      if (previous !== undefined) await this.#remove(id, previous.version);
    } catch (error) {
      this.#log.warn("shards.leftover", { shard: shardKey(id), reason: diskFault(error, "").message });
    }
  }

  async list(after: ShardId | undefined, limit: number): Promise<QuarantinedShard[]> {
    const from =
      after === undefined ? QUARANTINE_RANGE.from : concatBytes(quarantineKey(after), Uint8Array.of(0));
    const found: QuarantinedShard[] = [];
    for await (const [key, value] of this.#index.scan({ ...QUARANTINE_RANGE, from, limit })) {
      const { bytes, note, reason, sinceMs } = decodeQuarantine(value);
      found.push({ id: idOfKey(key), bytes, note, reason, sinceMs });
    }
    return found;
  }

  /** What its room was, if there was one. */
  async drop(id: ShardId): Promise<number> {
    const entry = quarantineOf(this.#index, id);
    if (entry === undefined) return 0;
    await this.#remove(id, entry.version);
    if (entry.keptBytes > 0) await this.#aside.syncDirectoryOf(id);
    await this.#index.write([{ type: "delete", key: quarantineKey(id) }], { sync: true });
    return quarantineCost(entry);
  }

  /**
   * A file met in the quarantine at opening. One that the index does not know gets an entry, since nothing here is
   * deleted first; one of which a later writing is kept aside goes. Returns what it costs more.
   */
  async settleFile({ id, version, temporary }: ParsedShardFile): Promise<number> {
    const entry = quarantineOf(this.#index, id);
    if (temporary) return 0;
    if (entry !== undefined) {
      if (!sameVersion(entry.version, version)) await this.#remove(id, version);
      return 0;
    }
    const keptBytes = (await this.#aside.size(id, version)) ?? 0;
    const reason = "found in the quarantine folder, not in the index";
    const found = { version, bytes: keptBytes, keptBytes, sinceMs: 0, reason, note: EMPTY_BYTES };
    await this.#index.write([this.entryOp(id, found)], { sync: true });
    return quarantineCost(found);
  }

  async #remove(id: ShardId, version: ShardVersion): Promise<void> {
    await this.#aside.remove(id, version);
    await this.#aside.removeRemark(id, version, REASON_SUFFIX);
  }
}

function remark(id: ShardId, { bytes, keptBytes, sinceMs, reason }: QuarantineEntry): Uint8Array {
  const since = new Date(sinceMs).toISOString();
  return utf8(`${JSON.stringify({ v: 1, shard: shardKey(id), bytes, keptBytes, since, reason })}\n`);
}
