import { concatBytes, EMPTY_BYTES, u32be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type Incarnation, idBytes, type OwnerId, type SegmentId } from "../base/ids.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";

/**
 * A page has 256 segments of one life, each the 256th after the one before: those of a row, so that what locks a row writes few pages.
 * A million segments are 4,000 pages of 1 KiB.
 */
const PAGE_SEGMENTS = 256;
const STRIDE = 256;
const BLOCK = PAGE_SEGMENTS * STRIDE;
const VERSION = 1;
const UNTIL_BYTES = 4;

/** Until when which segments are locked, in minutes of this home's running time, rounded up. */
export class LockTable {
  readonly #store: MetaStore;
  readonly #prefix: Uint8Array;

  constructor(store: MetaStore, prefix: Uint8Array) {
    this.#store = store;
    this.#prefix = prefix;
  }

  /** 0 where none was ever locked. */
  untilMs({ owner, incarnation, number }: SegmentId): number {
    const page = this.#store.get(this.#key(owner, incarnation, number));
    return page === undefined ? 0 : minutesAt(page, placeOf(number)) * MINUTE_MS;
  }

  /** What makes each of these last until then at least: none is ever made shorter. */
  extendOps(owner: OwnerId, life: Incarnation, untilMs: ReadonlyMap<number, number>): MetaOp[] {
    const byPage = Map.groupBy(untilMs, ([number]) => `${number % STRIDE}/${Math.floor(number / BLOCK)}`);
    return [...byPage.values()].flatMap((entries): MetaOp[] => {
      const [one] = entries;
      if (one === undefined) return [];
      const key = this.#key(owner, life, one[0]);
      const known = this.#store.get(key) ?? EMPTY_BYTES;
      const value = extended(
        known,
        entries.map(([number, until]) => [placeOf(number), Math.ceil(until / MINUTE_MS)]),
      );
      return value === undefined ? [] : [{ type: "put", key, value }];
    });
  }

  #key(owner: OwnerId, life: Incarnation, number: number): Uint8Array {
    const residue = Uint8Array.of(number % STRIDE);
    return concatBytes(
      this.#prefix,
      idBytes(owner),
      idBytes(life),
      residue,
      u32be(Math.floor(number / BLOCK)),
    );
  }
}

/** Until when something on this page lasts, for what forgets pages that are over. */
export function pageUntilMs(page: Uint8Array): number {
  let last = 0;
  for (let place = 0; place < PAGE_SEGMENTS; place++) last = Math.max(last, minutesAt(page, place));
  return last * MINUTE_MS;
}

/** How many of them are locked beyond this time. */
export function lockedOn(page: Uint8Array, nowMs: number): number {
  let locked = 0;
  for (let place = 0; place < PAGE_SEGMENTS; place++)
    if (minutesAt(page, place) * MINUTE_MS > nowMs) locked++;
  return locked;
}

function placeOf(number: number): number {
  return Math.floor((number % BLOCK) / STRIDE);
}

/** A version byte, then as many u32 as there are up to the last one that was ever locked. */
function minutesAt(page: Uint8Array, place: number): number {
  if (page[0] !== VERSION)
    throw new Fault({
      code: "FORMAT_VERSION",
      what: "page of locks",
      version: page[0] ?? 0,
      newestKnown: VERSION,
    });
  const at = 1 + place * UNTIL_BYTES;
  if (at + UNTIL_BYTES > page.length) return 0;
  return new DataView(page.buffer, page.byteOffset, page.byteLength).getUint32(at);
}

/** `undefined` where nothing lasts longer than it did. */
function extended(
  known: Uint8Array,
  entries: readonly (readonly [place: number, minutes: number])[],
): Uint8Array | undefined {
  const before = known.length === 0 ? Uint8Array.of(VERSION) : known;
  const places = 1 + Math.max(...entries.map(([place]) => place));
  const page = new Uint8Array(Math.max(before.length, 1 + places * UNTIL_BYTES));
  page.set(before);
  const view = new DataView(page.buffer);
  let isLonger = false;
  for (const [place, minutes] of entries) {
    if (minutesAt(before, place) >= minutes) continue;
    view.setUint32(1 + place * UNTIL_BYTES, minutes);
    isLonger = true;
  }
  return isLonger ? page : undefined;
}
