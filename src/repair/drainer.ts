import { isFault, messageOf } from "../base/fault.ts";
import { type OwnerId, type PeerId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { KeptRecords } from "../exchange/index.ts";
import { type GenerationAt, generationOf, generationsOf } from "../placement/index.ts";
import type { Clock, ShardStore } from "../ports/index.ts";
import { isPresent } from "../upkeep/index.ts";
import { shardNote } from "../wire/data.ts";
import { descriptorCodec } from "../wire/descriptor.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { RepairBook } from "./book.ts";
import type { RepairedMap, Whereabouts } from "./judge.ts";
import type { Pace } from "./pace.ts";
import { type RowRepair, rowName, slotsOfGeneration } from "./row-repair.ts";
import type { RepairSpread } from "./spread.ts";

export interface DrainerComponents {
  readonly self: PeerId;
  readonly book: RepairBook;
  readonly rows: Pick<RowRepair, "run">;
  readonly spread: Pick<RepairSpread, "tell">;
  readonly kept: Pick<KeptRecords, "owners">;
  readonly presence: Pick<Whereabouts, "holders" | "onChange">;
  readonly shards: Pick<ShardStore, "list">;
  /** What this node announces of itself; on disk. */
  readonly own: {
    readonly draining: boolean;
    setDraining(draining: boolean): Promise<void>;
  };
  /** The newest signed status of this node, in its envelope, once it says that it is draining. */
  readonly leavingStatement: () => Uint8Array | undefined;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly log: Log;
}

export interface StuckDrain {
  readonly owner: OwnerId;
  readonly row: string;
  readonly why: string;
}

export interface DrainStatus {
  /**
   * `none`: this node stays. `draining`: shards are moved. `stuck`: what is left has nowhere to go for now, it is tried
   * again. `done`: nothing is left that anybody looks for here, it may be switched off.
   */
  readonly state: "none" | "draining" | "stuck" | "done";
  /** Shards here that the maps, with the repairs known, still look for here; and what they weigh. */
  readonly shardsLeft: number;
  readonly bytesLeft: number;
  /** Since the start of this process. */
  readonly bytesMoved: number;
  /** By the schedule of the uplink; `undefined` where it lets nothing through, or nothing is moved. */
  readonly forecastMs: number | undefined;
  /** Shards of which no map is known here: nobody can be told where they would be. */
  readonly shardsUnknown: number;
  /** Shards that the maps look for elsewhere: copies too many. */
  readonly shardsSurplus: number;
  readonly stuck: readonly StuckDrain[];
}

/** Shards looked at in one go. */
const PAGE = 500;
/** Of rows with nowhere to go. */
const STUCK_SHOWN_MAX = 100;
/** Moves are paced, and the site rule holds: nothing is lost while this node is up. */
const CALM_MARGIN = 8;

interface Left {
  readonly shards: number;
  readonly bytes: number;
  readonly unknown: number;
  readonly surplus: number;
}

const NOTHING_LEFT: Left = { shards: 0, bytes: 0, unknown: 0, surplus: 0 };

/**
 * A node leaves: it says so with its beat, copies each of its shards to the next candidate, one byte for each, and signs
 * where they are now. What is said and what is done is on disk, so that it goes on after a restart until it is taken back.
 */
export class Drainer {
  readonly #c: DrainerComponents;
  readonly #everyMs: number;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<() => void>();
  #unsubscribe: (() => void) | undefined;
  #loop: Promise<void> | undefined;
  #moving = new AbortController();
  #wake: (() => void) | undefined;
  #left: Left | undefined;
  #stuck: readonly StuckDrain[] = [];
  #isThrough = false;
  #bytesMoved = 0;

  /** @param init.everyMs how often what had nowhere to go is tried again */
  constructor(components: DrainerComponents, init: { everyMs: number }) {
    this.#c = components;
    this.#everyMs = init.everyMs;
  }

  start(): void {
    this.#unsubscribe = this.#c.presence.onChange(() => this.#wake?.());
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#moving.abort();
    this.#unsubscribe?.();
    this.#wake?.();
    await this.#loop;
  }

  /** From now on, over restarts. */
  async begin(): Promise<void> {
    if (this.#c.own.draining) return;
    this.#isThrough = false;
    this.#left = undefined;
    await this.#c.own.setDraining(true);
    this.#c.log.info("drain-begun", {});
    this.#wake?.();
  }

  /** What was moved stays where it is now. */
  async cancel(): Promise<void> {
    if (!this.#c.own.draining) return;
    await this.#c.own.setDraining(false);
    this.#moving.abort();
    this.#c.log.info("drain-cancelled", { bytesMoved: this.#bytesMoved });
    this.#changed();
  }

  /** Called when there is something new to tell. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async status(): Promise<DrainStatus> {
    const left = this.#left ?? (this.#c.own.draining ? await this.#count() : NOTHING_LEFT);
    return {
      state: this.#state(),
      shardsLeft: left.shards,
      bytesLeft: left.bytes,
      bytesMoved: this.#bytesMoved,
      forecastMs: this.#forecastMs(left.bytes),
      shardsUnknown: left.unknown,
      shardsSurplus: left.surplus,
      stuck: this.#stuck.slice(0, STUCK_SHOWN_MAX),
    };
  }

  #state(): DrainStatus["state"] {
    if (!this.#c.own.draining) return "none";
    if (!this.#isThrough) return "draining";
    return this.#stuck.length > 0 || (this.#left?.unknown ?? 0) > 0 ? "stuck" : "done";
  }

  #forecastMs(bytes: number): number | undefined {
    if (!this.#c.own.draining) return undefined;
    const ms = this.#c.pace.forecastMs(bytes);
    return Number.isFinite(ms) ? ms : undefined;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#moving = new AbortController();
      try {
        if (this.#c.own.draining && this.#c.leavingStatement() !== undefined)
          await this.#pass(this.#moving.signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error) && !this.#moving.signal.aborted) throw error;
        if (!this.#moving.signal.aborted) this.#c.log.warn("drain-failed", { why: messageOf(error) });
      }
      await this.#sleep(signal);
    }
  }

  /** Its own status says that it leaves within a moment; what had nowhere to go waits longer, or for news. */
  async #sleep(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const done = new AbortController();
    const wake = (): void => done.abort();
    this.#wake = wake;
    signal.addEventListener("abort", wake, { once: true });
    const isWaiting = this.#c.own.draining && !this.#isThrough;
    await this.#c.clock
      .sleep(isWaiting ? Math.min(1000, this.#everyMs) : this.#everyMs, done.signal)
      .catch(() => undefined);
    signal.removeEventListener("abort", wake);
    this.#wake = undefined;
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const wasThrough = this.#isThrough;
    this.#left = await this.#count();
    const stuck: StuckDrain[] = [];
    for (const owner of await this.#c.kept.owners()) {
      for (const map of await this.#c.book.maps(owner)) {
        for (const { classId, partition, fromSegment } of generationsOf(map.now)) {
          signal.throwIfAborted();
          const why = await this.#moveRow(map, { classId, partition, fromSegment }, signal);
          if (why === undefined) continue;
          stuck.push({ owner, row: rowName(map, { classId, partition, fromSegment }), why });
        }
      }
    }
    this.#left = await this.#count();
    const isNews = !wasThrough || stuck.length !== this.#stuck.length;
    this.#stuck = stuck;
    this.#isThrough = true;
    if (isNews) this.#tell();
    this.#changed();
  }

  #tell(): void {
    const { shards, bytes, unknown } = this.#left ?? NOTHING_LEFT;
    const fields = { shardsLeft: shards, bytesLeft: bytes, bytesMoved: this.#bytesMoved };
    if (this.#state() === "done") this.#c.log.info("drain-done", fields);
    else
      this.#c.log.warn("drain-stuck", { ...fields, shardsUnknown: unknown, rows: this.#stuck.slice(0, 10) });
  }

  /** Why it cannot be moved now; `undefined` where it was, or nothing of it is here. */
  async #moveRow(map: RepairedMap, at: GenerationAt, signal: AbortSignal): Promise<string | undefined> {
    const { self, book, spread, presence } = this.#c;
    const statement = this.#c.leavingStatement();
    // As it is by now: the rows before have taken their time.
    const [current] = (await book.maps(map.owner)).filter(
      ({ incarnation }) => incarnation === map.incarnation,
    );
    if (current === undefined || statement === undefined) return undefined;
    const slots = slotsOfGeneration(current, at).flatMap((peer, slot) => (peer === self ? [slot] : []));
    if (slots.length === 0) return undefined;
    const holders = presence.holders();
    const cause = { t: "draining" as const, statement };
    try {
      const outcome = await this.#c.rows.run({
        map: current,
        at,
        moves: slots.map((slot) => ({ slot, cause, copies: true, fromIsLost: false })),
        margin: CALM_MARGIN,
        isOut: (peer) => !isPresent(holders.get(peer)),
        signal,
        onBytes: (bytes) => this.#moved(bytes),
      });
      if (outcome.kind === "nothing") return undefined;
      if (outcome.kind === "stuck") return outcome.slots.map(({ why }) => why).join("; ");
      await book.offer(map.owner, outcome.records, self);
      await spread.tell(map.owner, outcome.records, outcome.to, signal);
      const { segments, bytesOut } = outcome;
      this.#c.log.info("drain-row-moved", {
        ...{ owner: map.owner, row: rowName(map, at), slots, to: outcome.to, segments, bytesOut },
      });
      return outcome.stuck.length === 0 ? undefined : outcome.stuck.map(({ why }) => why).join("; ");
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      return messageOf(error);
    }
  }

  #moved(bytes: number): void {
    this.#bytesMoved += bytes;
    const left = this.#left ?? NOTHING_LEFT;
    this.#left = { ...left, shards: Math.max(0, left.shards - 1), bytes: Math.max(0, left.bytes - bytes) };
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Looks at the whole index once, from one page to the next. */
  async #count(): Promise<Left> {
    let [shards, bytes, unknown, surplus] = [0, 0, 0, 0];
    let maps: { readonly owner: OwnerId; readonly of: readonly RepairedMap[] } | undefined;
    let after: Parameters<ShardStore["list"]>[0];
    for (;;) {
      const page = await this.#c.shards.list(after, PAGE);
      for (const { id, note, bytes: size } of page) {
        if (maps?.owner !== id.owner) maps = { owner: id.owner, of: await this.#c.book.maps(id.owner) };
        const map = maps.of.find(({ incarnation }) => incarnation === id.incarnation);
        const classId = descriptorCodec.decode(decodeSigned(shardNote.decode(note).descriptor).body).class;
        const slots = map === undefined ? undefined : generationOf(map.now, classId, id.number)?.slots;
        if (slots === undefined) {
          unknown++;
          this.#c.log.debug("drain-unknown", { shard: shardKey(id) });
        } else if (slots[id.index]?.peer === this.#c.self) {
          shards++;
          bytes += size;
        } else surplus++;
        after = id;
      }
      if (page.length < PAGE) return { shards, bytes, unknown, surplus };
    }
  }
}
