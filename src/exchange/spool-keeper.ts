import { must } from "../base/assert.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { SegmentId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS, MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { Catalog, SegmentRecord, SegmentRef } from "../catalog/index.ts";
import type { Clock, Compute, Rng, Spool } from "../ports/index.ts";
import type { Placer } from "./placer.ts";
import { splitShards } from "./split.ts";

/** `<incarnation>-<number>`: of one owner, so the owner is not in it. */
export function spoolName(id: SegmentId): string {
  return `${id.incarnation}-${id.number}`;
}

export interface SpoolComponents {
  readonly catalog: Catalog;
  readonly spool: Spool;
  readonly placer: Placer;
  readonly compute: Pick<Compute, "rebuild">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** Shards found holders: what the pool knows of the maps may be out of date. */
  readonly onPlaced: () => void;
  /** Whether this home may hand out anything: not while it does not know whether its pool has seen a newer state of it. */
  readonly mayPlace: () => boolean;
  /** Whether what is placed of a segment survives the loss of any one site and f further nodes: q - max >= k + f. */
  readonly isEnough: (ref: SegmentRef, record: SegmentRecord) => boolean;
}

export interface SpoolInit {
  /** @default a tenth of the disk */
  readonly maxBytes?: number;
  /** Share of the disk that stays free whatever is waiting. @default 0.1 */
  readonly freeShare?: number;
}

/** A missing slot is tried for so long before what is placed may do. */
const TRIED_MS = DAY_MS;
const RETRY_MIN_MS = 5 * SECOND_MS;
const RETRY_MAX_MS = 5 * MINUTE_MS;
/** Why the timer of a pause that something else ended does; nobody sees it. */
const WOKEN = new Fault({ code: "INTERRUPTED" });

/**
 * The owner's own disk as the last resort: sealed segments that could not be fully placed at once wait here, over
 * restarts, until they are. Bounded, and never fills the disk: when it is full, `add` waits for room and throws
 * `SPOOL_FULL` when nobody takes anything any more.
 */
export class SpoolKeeper {
  readonly #c: SpoolComponents;
  readonly #init: SpoolInit;
  readonly #waiting = new Map<string, { ref: SegmentRef; bytes: number }>();
  readonly #adding = new Semaphore(1);
  readonly #retrying = new Semaphore(1);
  #wake: (() => void) | undefined;
  #stopped = new AbortController();
  #loop: Promise<void> | undefined;

  private constructor(components: SpoolComponents, init: SpoolInit) {
    this.#c = components;
    this.#init = init;
  }

  static async open(components: SpoolComponents, init: SpoolInit = {}): Promise<SpoolKeeper> {
    const keeper = new SpoolKeeper(components, init);
    const files = new Map((await components.spool.list()).map((file) => [file.name, file.bytes]));
    for await (const [ref, record] of components.catalog.segments.all()) {
      const name = spoolName(components.catalog.segmentId(ref));
      const bytes = files.get(name);
      files.delete(name);
      if (record.spooled && bytes !== undefined) keeper.#waiting.set(name, { ref, bytes });
      else if (record.spooled)
        await components.catalog.segments.put(ref, { ...record, spooled: false }, { sync: true });
      else if (bytes !== undefined) await components.spool.delete(name);
    }
    for (const name of files.keys()) await components.spool.delete(name);
    return keeper;
  }

  get segments(): number {
    return this.#waiting.size;
  }

  get bytes(): number {
    return [...this.#waiting.values()].reduce((sum, entry) => sum + entry.bytes, 0);
  }

  async maxBytes(): Promise<number> {
    return this.#init.maxBytes ?? (await this.#c.spool.diskSpace()).totalBytes / 10;
  }

  /** Keeps a sealed segment; synced when it resolves, and marked in its record. */
  async add(ref: SegmentRef, sealed: Uint8Array, signal?: AbortSignal): Promise<void> {
    // One after the other: each is measured against what those before have taken.
    await this.#adding.run(async () => {
      await this.#makeRoom(sealed.length, signal);
      const name = spoolName(this.#c.catalog.segmentId(ref));
      await this.#c.spool.put(name, sealed);
      await this.#mark(ref, true);
      const isFirst = this.#waiting.size === 0;
      this.#waiting.set(name, { ref, bytes: sealed.length });
      if (isFirst) this.wake();
    });
    this.#c.log.info("segment-spooled", { segment: ref.number, bytes: sealed.length });
  }

  /** Tries every waiting segment once. Returns how many shards were placed. */
  async retry(signal?: AbortSignal): Promise<number> {
    return this.#retrying.run(async () => {
      let placed = 0;
      for (const [name, { ref }] of [...this.#waiting]) {
        signal?.throwIfAborted();
        if (!this.#c.mayPlace()) break;
        placed += await this.#retryOne(name, ref, signal);
      }
      if (placed > 0) this.#c.onPlaced();
      return placed;
    });
  }

  /** Again after `stop`, too. */
  start(): void {
    if (this.#stopped.signal.aborted) this.#stopped = new AbortController();
    this.#loop ??= this.#run(this.#stopped.signal);
  }

  /** Something changed for the better (a peer came back): try soon. */
  wake(): void {
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.wake();
    await this.#loop;
    this.#loop = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    let waitMs = RETRY_MIN_MS;
    while (!signal.aborted) {
      if (this.#waiting.size === 0) {
        // The first that comes ends it, and is tried a while later as any other.
        await this.#pause(RETRY_MAX_MS, signal);
        continue;
      }
      await this.#pause(waitMs * (0.75 + 0.5 * this.#c.rng.float()), signal);
      if (signal.aborted) return;
      try {
        const placed = await this.retry(signal);
        waitMs = placed > 0 || this.#waiting.size === 0 ? RETRY_MIN_MS : Math.min(waitMs * 2, RETRY_MAX_MS);
      } catch (error) {
        if (signal.aborted) return;
        this.#c.log.warn("spool-retry-failed", { why: messageOf(error) });
        if (!isFault(error)) throw error;
      }
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const slept = this.#c.clock.sleep(ms, timer.signal).catch(() => {});
    if (!signal.aborted) await Promise.race([woken, slept]);
    timer.abort(WOKEN);
    this.#wake = undefined;
  }

  async #retryOne(name: string, ref: SegmentRef, signal: AbortSignal | undefined): Promise<number> {
    const before = must(this.#c.catalog.segments.get(ref), "segment record");
    const sealed = await this.#c.spool.get(name);
    if (sealed === undefined)
      throw new Fault({ code: "DISK_FAILED", where: "the spool", errno: `${name} is gone` });
    const shards = await this.#shardsOf(sealed, before);
    const shard = (index: number): Uint8Array => must(shards.get(index), "shard of a spooled segment");
    const after = await this.#c.placer.place({ ref, shard, ...(signal === undefined ? {} : { signal }) });
    if (this.#mayDrop(ref, after)) await this.#drop(name, ref);
    return acknowledged(after) - acknowledged(before);
  }

  /** When it is full; or after a day of trying, when it survives a site and the further nodes that its class is for. */
  #mayDrop(ref: SegmentRef, record: SegmentRecord): boolean {
    if (record.slots.every((slot) => slot !== null)) return true;
    return this.#c.clock.wallMs() - record.createdMs >= TRIED_MS && this.#c.isEnough(ref, record);
  }

  /** The shards that nobody has acknowledged yet, coded anew from the sealed bytes. */
  async #shardsOf(sealed: Uint8Array, record: SegmentRecord): Promise<Map<number, Uint8Array>> {
    const data = splitShards(sealed, record.k);
    const due = record.slots.flatMap((slot, index) => (slot === null ? [index] : []));
    const parity = due.filter((index) => index >= record.k);
    const rebuilt =
      parity.length === 0
        ? []
        : await this.#c.compute.rebuild({
            dataShards: record.k,
            parityShards: record.slots.length - record.k,
            have: data.map((bytes, index) => ({ index, bytes: bytes.slice() })),
            want: parity,
          });
    const shards = new Map(parity.map((index, i) => [index, must(rebuilt[i], "rebuilt shard")]));
    for (const index of due) if (index < record.k) shards.set(index, must(data[index], "data shard"));
    return shards;
  }

  async #mark(ref: SegmentRef, spooled: boolean): Promise<void> {
    const { segments } = this.#c.catalog;
    must(await segments.update(ref, (record) => ({ ...record, spooled }), { sync: true }), "segment record");
  }

  async #drop(name: string, ref: SegmentRef): Promise<void> {
    await this.#mark(ref, false);
    await this.#c.spool.delete(name);
    this.#waiting.delete(name);
    this.#c.log.info("segment-unspooled", { segment: ref.number });
  }

  async #makeRoom(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    while (!(await this.#fits(bytes))) {
      if ((await this.retry(signal)) === 0) {
        const maxBytes = Math.floor(await this.maxBytes());
        throw new Fault({ code: "SPOOL_FULL", usedBytes: this.bytes, maxBytes });
      }
    }
  }

  async #fits(bytes: number): Promise<boolean> {
    const { freeBytes, totalBytes } = await this.#c.spool.diskSpace();
    const keepFree = totalBytes * (this.#init.freeShare ?? 0.1);
    return this.bytes + bytes <= (await this.maxBytes()) && freeBytes - bytes >= keepFree;
  }
}

function acknowledged(record: SegmentRecord): number {
  return record.slots.filter((slot) => slot !== null).length;
}
