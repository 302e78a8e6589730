import { randomInt } from "node:crypto";
import { join } from "node:path";
import { assert } from "../../base/assert.ts";
import { concatBytes, equalBytes } from "../../base/bytes.ts";
import { KeyedMutex } from "../../base/concurrency.ts";
import { Fault } from "../../base/fault.ts";
import { type ShardId, shardKey } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { SECOND_MS } from "../../base/units.ts";
import type { MetaOp, MetaStore } from "../../ports/meta-store.ts";
import type {
  QuarantinedShard,
  ShardPlace,
  ShardStore,
  StoredShard,
  StorePresence,
  StoreSpace,
} from "../../ports/shard-store.ts";
import { diskFault } from "./disk-faults.ts";
import { type FileOps, nodeFileOps } from "./file-ops.ts";
import {
  decodeEntry,
  decodeTrailer,
  ENTRY_RANGE,
  encodeEntry,
  encodeTombstone,
  encodeTrailer,
  entryKey,
  entryOf,
  FOOTER_BYTES,
  generationFloor,
  idOfKey,
  quarantineOf,
  type ShardEntry,
  tombstoneKey,
} from "./shard-codec.ts";
import { ShardFiles } from "./shard-files.ts";
import { type ShardVersion, sameVersion, versionKey, versionText } from "./shard-layout.ts";
import { ShardPresence } from "./shard-presence.ts";
import { ShardQuarantine } from "./shard-quarantine.ts";
import { indexedCost, type RecoveryReport, recoverShards } from "./shard-recovery.ts";
import {
  costOf,
  quarantineCost,
  type Reservation,
  ShardSpace,
  SPACE_RESERVE_DEFAULT,
  type SpaceReserve,
  storedCost,
} from "./shard-space.ts";

export interface FileShardStoreInit {
  /** Its parent must exist. */
  readonly directory: string;
  /** A namespace of this store's own; it must outlive the store. */
  readonly index: MetaStore;
  readonly capacityBytes: number;
  /** @default the larger of 1 GiB and 2 % of the file system */
  readonly reserve?: SpaceReserve;
  readonly log: Log;
  /** @default the machine's file system */
  readonly files?: FileOps;
  /** How long opening waits for files and index to be compared before that goes on beside the work. @default 10 s */
  readonly recoveryWaitMs?: number;
  /** 0 .. 2^32-1, random. @default the operating system's randomness */
  readonly nonce?: () => number;
}

function storedOf(id: ShardId, { bytes, version, note }: ShardEntry): StoredShard {
  return { id, bytes, version: versionText(version), note };
}

export interface FileShardStore extends ShardStore {
  /** What comparing files and index found. Fails with what made it stop. */
  readonly recovered: Promise<RecoveryReport>;
}

interface Doubt {
  readonly id: ShardId;
  readonly version: ShardVersion;
  readonly previous: ShardEntry | undefined;
  readonly room: Reservation;
  readonly failure: unknown;
}

/** Written to learn whether the index takes writes; it never holds a value. */
const PROBE_KEY = Uint8Array.of(0);

/** A read that meets a replacement looks the shard up again; so many replacements in a row are no accident. */
const READ_ATTEMPTS_MAX = 8;

/**
 * Opens or creates. Where the directory is not the one that was written to, the store opens all the same and says so
 * (`presence`); files and index are compared once it is back. Resolves with every shard known to the index; where the index had none, after all files
 * were looked at, since a holder that says "not held" must be right. Faults: `DISK_FULL`, `DISK_FAILED`,
 * `FORMAT_VERSION`, `FORMAT_INVALID`.
 */
export async function openFileShardStore(init: FileShardStoreInit): Promise<FileShardStore> {
  const files = init.files ?? nodeFileOps;
  try {
    await files.makeDirectory(init.directory);
    await files.syncDirectory(join(init.directory, ".."));
    const { cost, shards } = await indexedCost(init.index);
    const presence = new ShardPresence({ ...init, files });
    const found = await presence.open();
    const store = new IndexedShardFiles(init, files, { presence, cost });
    if (!found.present) {
      init.log.error("shards.gone", { reason: found.reason });
      return store;
    }
    store.recover();
    const waitMs = init.recoveryWaitMs ?? 10 * SECOND_MS;
    await (shards === 0 ? store.recovered : atMost(store.recovered, waitMs));
    return store;
  } catch (error) {
    throw diskFault(error, init.directory);
  }
}

async function atMost(task: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  // A store whose files cannot all be listed still serves those it can: the failure is logged.
  await Promise.race([task.catch(() => {}), timeUp]);
  clearTimeout(timer);
}

class IndexedShardFiles implements FileShardStore {
  readonly #fileOps: FileOps;
  readonly #presence: ShardPresence;
  readonly #quarantine: ShardQuarantine;
  #recovery: Promise<RecoveryReport> | undefined;
  readonly #directory: string;
  readonly #index: MetaStore;
  readonly #log: Log;
  readonly #nonce: () => number;
  readonly #files: ShardFiles;
  readonly #space: ShardSpace;
  readonly #shards = new KeyedMutex();
  /** Names being written, or whose index entry may or may not have been: nobody else removes these files. */
  readonly #inFlight = new Set<string>();
  readonly #underWay = new Set<Promise<unknown>>();
  /** Puts whose index write failed, so that their entry may or may not be there; see `#settleDoubts`. */
  readonly #doubts: Doubt[] = [];
  #closed = false;

  constructor(
    init: FileShardStoreInit,
    files: FileOps,
    state: { readonly presence: ShardPresence; readonly cost: number },
  ) {
    this.#directory = init.directory;
    this.#index = init.index;
    this.#log = init.log;
    this.#nonce = init.nonce ?? (() => randomInt(2 ** 32));
    this.#fileOps = files;
    this.#presence = state.presence;
    this.#files = new ShardFiles(init.directory, files);
    this.#quarantine = new ShardQuarantine({ ...init, files, held: this.#files });
    this.#space = new ShardSpace(
      init.directory,
      init.capacityBytes,
      init.reserve ?? SPACE_RESERVE_DEFAULT,
      () => files.diskSpace(init.directory),
    );
    this.#space.change(state.cost);
  }

  get recovered(): Promise<RecoveryReport> {
    return this.#recovery ?? Promise.reject(this.#goneFault());
  }

  /** Compares files and index, once, from when the directory is seen to be there. */
  recover(): void {
    if (this.#recovery !== undefined || this.#closed) return;
    this.#recovery = recoverShards({
      directory: this.#directory,
      files: this.#fileOps,
      index: this.#index,
      log: this.#log,
      inFlight: this.#inFlight,
      exclusive: (id, task) => this.#shards.run(shardKey(id), task),
      syncDirectoryOf: (id) => this.#files.syncDirectoryOf(id),
      quarantine: this.#quarantine,
      onChange: (difference) => this.#space.change(difference),
      stopped: () => this.#closed,
    });
    this.#recovery.catch((error: unknown) => {
      this.#log.error("shards.recovery-failed", { reason: diskFault(error, this.#directory).message });
    });
  }

  presence(): Promise<StorePresence> {
    return this.#run(async () => {
      const found = await this.#presence.look();
      if (found.present) this.recover();
      return found;
    });
  }

  acceptDisk(): Promise<void> {
    return this.#run(async () => {
      await this.#presence.accept();
      this.#files.forgetDirectories();
      this.recover();
    });
  }

  async #requirePresent(): Promise<void> {
    const found = await this.#presence.look();
    if (!found.present) throw this.#goneFault();
    this.recover();
  }

  #goneFault(): Fault {
    return new Fault({ code: "DISK_FAILED", where: this.#directory, errno: "ENODEV" });
  }

  put(id: ShardId, bytes: Uint8Array, note: Uint8Array): Promise<void> {
    return this.#run(async () => {
      await this.#settled();
      await this.#shards.run(shardKey(id), () => this.#put(id, bytes, note));
    });
  }

  async #put(id: ShardId, bytes: Uint8Array, note: Uint8Array): Promise<void> {
    this.#refuseWhileInDoubt(id);
    const reservation = await this.#space.reserve(storedCost(bytes.length, note.length));
    const previous = entryOf(this.#index, id);
    const version = { generation: generationFloor(this.#index, id) + 1, nonce: this.#nonce() };
    const name = versionKey(id, version);
    this.#inFlight.add(name);
    try {
      const trailer = encodeTrailer(id, version.generation, bytes.length, note);
      await this.#files.write(id, version, [bytes, trailer], () => reservation.written());
      await this.#files.syncDirectoryOf(id);
    } catch (error) {
      await this.#files.remove(id, version).catch(() => {});
      this.#inFlight.delete(name);
      reservation.cancel();
      throw error;
    }
    try {
      await this.#writeIndex([
        { type: "put", key: entryKey(id), value: encodeEntry({ version, bytes: bytes.length, note }) },
        ...this.#clearedTombstone(id),
      ]);
    } catch (error) {
      // The entry may be in the database's log all the same, and come back with it: until that is known the
      // file stays, so that the entry would have its bytes.
      this.#doubts.push({ id, version, previous, room: reservation, failure: error });
      throw error;
    }
    await this.#taken(id, version, previous, reservation);
  }

  async #taken(id: ShardId, version: ShardVersion, previous: ShardEntry | undefined, room: Reservation) {
    room.commit();
    this.#inFlight.delete(versionKey(id, version));
    if (previous !== undefined) {
      await this.#discard(id, previous.version);
      this.#space.change(-costOf(previous));
    }
  }

  async read(id: ShardId, offset: number, length: number): Promise<Uint8Array | undefined> {
    assert(offset >= 0 && length >= 0, "a range begins and is as long as it is");
    return this.#run(async () => {
      for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
        const entry = entryOf(this.#index, id);
        if (entry === undefined) return undefined;
        const within = Math.min(length, entry.bytes - offset);
        const bytes = await this.#files.read(id, entry.version, offset, Math.max(0, within));
        if (bytes !== undefined) return bytes;
        const now = entryOf(this.#index, id)?.version;
        if (now !== undefined && sameVersion(now, entry.version)) break;
      }
      return undefined;
    });
  }

  stat(id: ShardId): StoredShard | undefined {
    const entry = entryOf(this.#index, id);
    return entry === undefined ? undefined : storedOf(id, entry);
  }

  isSound(id: ShardId): Promise<boolean> {
    return this.#run(async () => {
      const entry = entryOf(this.#index, id);
      if (entry === undefined) return false;
      const { version, bytes, note } = entry;
      const trailer = await this.#files.read(id, version, bytes, note.length + FOOTER_BYTES);
      const found = trailer === undefined ? undefined : decodeTrailer(trailer, id);
      return (
        found !== undefined &&
        found.generation === version.generation &&
        found.bytes === bytes &&
        equalBytes(found.note, note)
      );
    });
  }

  locate(id: ShardId): ShardPlace | undefined {
    const entry = entryOf(this.#index, id);
    return entry === undefined
      ? undefined
      : { file: this.#files.path(id, entry.version), offset: 0, bytes: entry.bytes };
  }

  async list(after: ShardId | undefined, limit: number): Promise<StoredShard[]> {
    // Ids have one length, so the key that follows in byte order is the same with a zero behind it.
    const from = after === undefined ? ENTRY_RANGE.from : concatBytes(entryKey(after), Uint8Array.of(0));
    const found: StoredShard[] = [];
    for await (const [key, value] of this.#index.scan({ ...ENTRY_RANGE, from, limit })) {
      found.push(storedOf(idOfKey(key), decodeEntry(value)));
    }
    return found;
  }

  delete(id: ShardId): Promise<void> {
    return this.#run(async () => {
      await this.#settled();
      await this.#shards.run(shardKey(id), () => this.#delete(id));
    });
  }

  /**
   * The tombstone keeps a file whose removal a power failure undoes from being taken for one that the index
   * lost. It goes when the removal is on disk.
   */
  async #delete(id: ShardId): Promise<void> {
    this.#refuseWhileInDoubt(id);
    const entry = entryOf(this.#index, id);
    if (entry === undefined) return;
    await this.#writeIndex([
      { type: "delete", key: entryKey(id) },
      { type: "put", key: tombstoneKey(id), value: encodeTombstone(entry.version.generation) },
    ]);
    this.#space.change(-costOf(entry));
    if (!(await this.#discard(id, entry.version))) return;
    await this.#files.syncDirectoryOf(id);
    await this.#index.write(this.#clearedTombstone(id), { sync: false });
  }

  quarantine(
    id: ShardId,
    version: string,
    why: { readonly reason: string; readonly timeMs: number },
  ): Promise<boolean> {
    return this.#run(async () => {
      await this.#settled();
      return this.#shards.run(shardKey(id), async () => {
        this.#refuseWhileInDoubt(id);
        const entry = entryOf(this.#index, id);
        if (entry === undefined || versionText(entry.version) !== version) return false;
        const previous = quarantineOf(this.#index, id);
        const aside = await this.#quarantine.describe(id, entry, why);
        await this.#writeIndex([{ type: "delete", key: entryKey(id) }, this.#quarantine.entryOp(id, aside)]);
        const before = costOf(entry) + (previous === undefined ? 0 : quarantineCost(previous));
        this.#space.change(quarantineCost(aside) - before);
        await this.#quarantine.setAside(id, aside, previous);
        return true;
      });
    });
  }

  quarantined(after: ShardId | undefined, limit: number): Promise<QuarantinedShard[]> {
    return this.#quarantine.list(after, limit);
  }

  isSetAside(id: ShardId): boolean {
    return quarantineOf(this.#index, id) !== undefined;
  }

  dropQuarantined(id: ShardId): Promise<void> {
    return this.#run(async () => {
      await this.#settled();
      await this.#shards.run(shardKey(id), async () => {
        this.#space.change(-(await this.#quarantine.drop(id)));
      });
    });
  }

  async space(): Promise<StoreSpace> {
    return this.#run(() => this.#space.report());
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#underWay, ...(this.#recovery === undefined ? [] : [this.#recovery])]);
  }

  #clearedTombstone(id: ShardId): MetaOp[] {
    const key = tombstoneKey(id);
    return this.#index.get(key) === undefined ? [] : [{ type: "delete", key: tombstoneKey(id) }];
  }

  async #writeIndex(ops: readonly MetaOp[]): Promise<void> {
    await this.#index.write(ops, { sync: true });
  }

  /** A superseded or deleted file that cannot be removed now is removed at the next opening. */
  async #discard(id: ShardId, version: ShardVersion): Promise<boolean> {
    try {
      await this.#files.remove(id, version);
      return true;
    } catch (error) {
      this.#log.warn("shards.leftover", { shard: shardKey(id), reason: diskFault(error, "").message });
      return false;
    }
  }

  /** Before anything is changed: the disk is ours, files and index agree, and the index is sure of what it holds. */
  async #settled(): Promise<void> {
    await this.#requirePresent();
    // A put must not choose a generation below that of a file which the index has yet to hear of.
    await this.recovered.catch(() => {});
    await this.#settleDoubts();
  }

  /**
   * Once the index takes writes again it also says which of the failed ones it kept; before that it is not the
   * last word. As long as it takes none, nothing else is changed either, so there are never more doubts than
   * puts were under way.
   */
  async #settleDoubts(): Promise<void> {
    if (this.#doubts.length === 0) return;
    await this.#writeIndex([{ type: "delete", key: PROBE_KEY }]);
    for (const doubt of this.#doubts.splice(0)) {
      await this.#shards.run(shardKey(doubt.id), () => this.#settle(doubt));
    }
  }

  async #settle({ id, version, previous, room }: Doubt): Promise<void> {
    const now = entryOf(this.#index, id)?.version;
    if (now !== undefined && sameVersion(now, version)) {
      await this.#taken(id, version, previous, room);
      return;
    }
    await this.#discard(id, version);
    this.#inFlight.delete(versionKey(id, version));
    room.cancel();
  }

  /** Whoever was waiting behind a put that ended in doubt shares its failure. */
  #refuseWhileInDoubt(id: ShardId): void {
    const key = shardKey(id);
    const doubt = this.#doubts.find((one) => shardKey(one.id) === key);
    if (doubt !== undefined) throw doubt.failure;
  }

  async #run<T>(task: () => Promise<T>): Promise<T> {
    assert(!this.#closed, "a closed store is not used");
    const running = task();
    this.#underWay.add(running);
    try {
      return await running;
    } catch (error) {
      throw diskFault(error, this.#directory);
    } finally {
      this.#underWay.delete(running);
    }
  }
}
