import { assert } from "../src/base/assert.ts";
import { KeyedMutex } from "../src/base/concurrency.ts";
import { Fault } from "../src/base/fault.ts";
import { compareShardIds, type ShardId, shardKey } from "../src/base/ids.ts";
import type {
  QuarantinedShard,
  ShardPlace,
  ShardStore,
  StoredShard,
  StorePresence,
  StoreSpace,
} from "../src/ports/shard-store.ts";
import type { DiskTenant, SimDisk } from "./disk.ts";
import type { SeededRng } from "./rng.ts";

interface HeldShard {
  readonly id: ShardId;
  /** Of the bytes as put: what the index says, whatever became of the file. */
  readonly bytes: number;
  readonly note: Uint8Array;
  /** `undefined` once the file is lost. */
  contents: Uint8Array | undefined;
  /** Of the writing, unique on this disk; given when it is there. */
  version: string;
}

interface AsideShard extends HeldShard {
  readonly reason: string;
  readonly sinceMs: number;
}

/** File, inode and index entry beside the bytes, as the store on files counts them, roughly. */
const OVERHEAD_BYTES = 1024;

/**
 * The shards on a simulated disk, and what can happen to them there. A put is all or nothing and synced when it
 * resolves, so a loss of power takes or leaves the ones under way, and no others.
 */
export class SimShardDisk implements DiskTenant {
  readonly #disk: SimDisk;
  readonly #capacityBytes: number;
  readonly #reserveBytes: number;
  readonly #shards = new Map<string, HeldShard>();
  #sorted: HeldShard[] | undefined;
  /** Taken out of service; beside them the held ones. */
  readonly aside = new Map<string, AsideShard>();
  #usedBytes = 0;
  #writings = 0;
  /** Set: the disk is not there, for this reason; what is on it comes back with it. */
  pulledOut: string | undefined;
  /** Shards whose file gives an error when it is read. */
  readonly unreadable = new Set<string>();
  /** Puts under way: data is written, and the index entry may just have been. */
  readonly #underWay = new Set<HeldShard>();

  constructor(disk: SimDisk, init: { readonly capacityBytes: number; readonly reserveBytes?: number }) {
    this.#disk = disk;
    this.#capacityBytes = init.capacityBytes;
    this.#reserveBytes = init.reserveBytes ?? 0;
    disk.attach(this);
  }

  open(): ShardStore {
    return new SimShardStore(this, this.#disk);
  }

  usedBytes(): number {
    let aside = 0;
    for (const shard of this.aside.values()) aside += costOf(shard);
    return this.#usedBytes + aside;
  }

  losePower(rng: SeededRng): void {
    for (const shard of this.#underWay) if (rng.chance(0.5)) this.set(shard);
    this.#underWay.clear();
  }

  wipe(): void {
    this.#shards.clear();
    this.aside.clear();
    this.#sorted = undefined;
    this.#usedBytes = 0;
    this.#underWay.clear();
  }

  image(): () => void {
    const copyOf = <T extends HeldShard>(shard: T): T => ({ ...shard, contents: shard.contents?.slice() });
    const held = [...this.#shards.values()].map(copyOf);
    const aside = [...this.aside].map(([key, shard]) => [key, copyOf(shard)] as const);
    return () => {
      this.wipe();
      for (const shard of held) this.set(copyOf(shard));
      for (const [key, shard] of aside) this.aside.set(key, copyOf(shard));
    };
  }

  get(id: ShardId): HeldShard | undefined {
    return this.#shards.get(shardKey(id));
  }

  set(shard: HeldShard): void {
    this.delete(shard.id);
    this.unreadable.delete(shardKey(shard.id));
    shard.version = String(++this.#writings);
    this.#shards.set(shardKey(shard.id), shard);
    this.#usedBytes += costOf(shard);
    this.#sorted = undefined;
  }

  delete(id: ShardId): void {
    const shard = this.get(id);
    if (shard === undefined) return;
    this.#shards.delete(shardKey(id));
    this.#usedBytes -= costOf(shard);
    this.#sorted = undefined;
  }

  sorted(): readonly HeldShard[] {
    this.#sorted ??= [...this.#shards.values()].sort((a, b) => compareShardIds(a.id, b.id));
    return this.#sorted;
  }

  /** Faults: `DISK_FULL`. The room is taken until `end`. */
  begin(shard: HeldShard): { end(): void } {
    const needBytes = costOf(shard);
    const { freeBytes } = this.space();
    if (needBytes > freeBytes) {
      throw new Fault({ code: "DISK_FULL", where: "simulated disk", freeBytes, needBytes });
    }
    this.#underWay.add(shard);
    return { end: () => this.#underWay.delete(shard) };
  }

  space(): StoreSpace {
    let pending = 0;
    for (const shard of this.#underWay) pending += costOf(shard);
    const onDisk = this.#disk.freeBytes() - this.#reserveBytes;
    const usedBytes = this.usedBytes();
    const withinCapacity = this.#capacityBytes - usedBytes;
    return {
      usedBytes,
      freeBytes: Math.max(0, Math.min(onDisk, withinCapacity) - pending),
      capacityBytes: this.#capacityBytes,
    };
  }

  /** Bit rot: one bit of the stored bytes turns over. False when there are none. */
  flipBit(id: ShardId, rng: SeededRng): boolean {
    const shard = this.get(id);
    if (shard?.contents === undefined || shard.contents.length === 0) return false;
    const at = rng.below(shard.contents.length);
    shard.contents[at] = (shard.contents[at] ?? 0) ^ (1 << rng.below(8));
    return true;
  }

  /** The file is gone though the index has it. */
  loseFile(id: ShardId): boolean {
    const shard = this.get(id);
    if (shard?.contents === undefined) return false;
    shard.contents = undefined;
    return true;
  }

  /** Two files were exchanged. */
  swap(a: ShardId, b: ShardId): boolean {
    const [one, other] = [this.get(a), this.get(b)];
    if (one === undefined || other === undefined) return false;
    [one.contents, other.contents] = [other.contents, one.contents];
    return true;
  }

  /** The file was cut short. */
  truncate(id: ShardId, bytes: number): boolean {
    const shard = this.get(id);
    if (shard?.contents === undefined) return false;
    shard.contents = shard.contents.slice(0, bytes);
    return true;
  }
}

class SimShardStore implements ShardStore {
  readonly #data: SimShardDisk;
  readonly #disk: SimDisk;
  readonly #life: number;
  readonly #shards = new KeyedMutex();
  #closed = false;

  constructor(data: SimShardDisk, disk: SimDisk) {
    this.#data = data;
    this.#disk = disk;
    this.#life = disk.life;
  }

  async put(id: ShardId, bytes: Uint8Array, note: Uint8Array): Promise<void> {
    this.#checkOpen();
    this.#requirePresent();
    const contents = new Uint8Array(bytes);
    const shard = { id, bytes: bytes.length, note: new Uint8Array(note), contents, version: "" };
    await this.#shards.run(shardKey(id), async () => {
      const room = this.#data.begin(shard);
      try {
        await this.#disk.writing(bytes.length, true, () => this.#data.set(shard));
      } finally {
        room.end();
      }
    });
  }

  async read(id: ShardId, offset: number, length: number): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    assert(offset >= 0 && length >= 0, "a range begins and is as long as it is");
    const held = this.#data.pulledOut === undefined ? this.#data.get(id) : undefined;
    if (this.#data.unreadable.has(shardKey(id))) throw failed("EIO");
    const bytes = held?.contents?.slice(offset, offset + length);
    await this.#disk.reading(bytes?.length ?? 0);
    return bytes;
  }

  stat(id: ShardId): StoredShard | undefined {
    this.#checkOpen();
    const shard = this.#data.get(id);
    return shard === undefined ? undefined : stored(shard);
  }

  async list(after: ShardId | undefined, limit: number): Promise<StoredShard[]> {
    this.#checkOpen();
    await this.#disk.reading(0);
    const all = this.#data.sorted();
    let first = 0;
    if (after !== undefined) {
      for (let end = all.length; first < end; ) {
        const middle = (first + end) >> 1;
        const shard = all[middle];
        if (shard !== undefined && compareShardIds(shard.id, after) <= 0) first = middle + 1;
        else end = middle;
      }
    }
    return all.slice(first, first + limit).map(stored);
  }

  async delete(id: ShardId): Promise<void> {
    this.#checkOpen();
    await this.#shards.run(shardKey(id), async () => {
      await this.#disk.writing(0, true, () => this.#data.delete(id));
    });
  }

  async isSound(id: ShardId): Promise<boolean> {
    this.#checkOpen();
    return this.#data.get(id)?.contents !== undefined;
  }

  async quarantine(
    id: ShardId,
    version: string,
    why: { readonly reason: string; readonly timeMs: number },
  ): Promise<boolean> {
    this.#checkOpen();
    this.#requirePresent();
    return this.#shards.run(shardKey(id), async () => {
      let done = false;
      await this.#disk.writing(0, true, () => {
        const shard = this.#data.get(id);
        if (shard?.version !== version) return;
        this.#data.delete(id);
        this.#data.aside.set(shardKey(id), { ...shard, reason: why.reason, sinceMs: why.timeMs });
        done = true;
      });
      return done;
    });
  }

  async quarantined(after: ShardId | undefined, limit: number): Promise<QuarantinedShard[]> {
    this.#checkOpen();
    await this.#disk.reading(0);
    return [...this.#data.aside.values()]
      .filter((one) => after === undefined || compareShardIds(one.id, after) > 0)
      .sort((a, b) => compareShardIds(a.id, b.id))
      .slice(0, limit)
      .map(({ id, bytes, note, reason, sinceMs }) => ({ id, bytes, note: note.slice(), reason, sinceMs }));
  }

  isSetAside(id: ShardId): boolean {
    return this.#data.aside.has(shardKey(id));
  }

  async dropQuarantined(id: ShardId): Promise<void> {
    this.#checkOpen();
    await this.#disk.writing(0, true, () => this.#data.aside.delete(shardKey(id)));
  }

  locate(id: ShardId): ShardPlace | undefined {
    const bytes = this.#data.get(id)?.bytes;
    return bytes === undefined ? undefined : { file: `simulated:${shardKey(id)}`, offset: 0, bytes };
  }

  async presence(): Promise<StorePresence> {
    const reason = this.#data.pulledOut;
    return reason === undefined ? { present: true } : { present: false, reason };
  }

  /** An empty disk in the place of the one that was pulled out. */
  async acceptDisk(): Promise<void> {
    if (this.#data.pulledOut === undefined) return;
    this.#data.pulledOut = undefined;
    for (const { id } of this.#data.sorted()) this.#data.loseFile(id);
  }

  async space(): Promise<StoreSpace> {
    this.#checkOpen();
    return this.#data.space();
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #requirePresent(): void {
    if (this.#data.pulledOut !== undefined) throw failed("ENODEV");
  }

  #checkOpen(): void {
    assert(!this.#closed, "a closed store is not used");
    assert(this.#disk.life === this.#life, "a store is opened anew after a loss of power");
  }
}

function failed(errno: string): Fault {
  return new Fault({ code: "DISK_FAILED", where: "simulated disk", errno });
}

function costOf(shard: HeldShard): number {
  return shard.bytes + shard.note.length + OVERHEAD_BYTES;
}

function stored({ id, bytes, version, note }: HeldShard): StoredShard {
  return { id, bytes, version, note: note.slice() };
}
