import { must } from "../base/assert.ts";
import { readU64be } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import type { Incarnation, SwarmId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import { signedHash, signStatement } from "../crypto/signed.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import { type Locator, TRAIL_PAGES_MAX, TRAIL_SEQUENCE_MAX, type TrailStanding } from "../wire/head.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import {
  TRAIL_DETAIL_CHARACTERS_MAX,
  TRAIL_DETAILS_MAX,
  TRAIL_PAGE_ENTRIES,
  trailBody,
  trailPageCodec,
} from "../wire/trail.ts";
import type { Catalog } from "./catalog.ts";
import { type SegmentRef, tableRange, trailKey } from "./keys.ts";
import { NO_ENTRY } from "./trail-check.ts";

export interface TrailComponents {
  readonly catalog: Catalog;
  readonly clock: Pick<Clock, "wallMs">;
  /** The node's key. */
  readonly signer: Signer;
}

/** A page of the trail as the next head will name it: where it is already, or what is to be stored. */
export type PlannedPage = { readonly from: number; readonly entries: number } & (
  | { readonly at: Locator }
  | { readonly bytes: Uint8Array }
);

/** What the next head will say of the trail; entries that come later are the next one's. */
export interface TrailPlan {
  readonly sequence: number;
  readonly hash: Uint8Array;
  readonly pages: readonly PlannedPage[];
}

interface Last {
  readonly sequence: number;
  readonly hash: Uint8Array;
}

/**
 * Who did what with this repository, and when: each entry signed by the node and naming the one before. On this disk at
 * once, with the repository from the next head on. Bounded: of the pages the newest are kept.
 */
export class Trail {
  readonly #c: TrailComponents;
  readonly #swarm: SwarmId;
  readonly #writing = new Semaphore(1);
  #last: Last;

  private constructor(components: TrailComponents, swarm: SwarmId, last: Last) {
    this.#c = components;
    this.#swarm = swarm;
    this.#last = last;
  }

  static async open(components: TrailComponents, { swarm }: { swarm: SwarmId }): Promise<Trail> {
    const { catalog } = components;
    // What the owner signed counts: entries that were cut off here are not made a second time.
    let last: Last = catalog.state.trail ?? { sequence: 0, hash: NO_ENTRY };
    for await (const { sequence, bytes } of entriesFrom(catalog, last.sequence + 1))
      last = { sequence, hash: signedHash(decodeSigned(bytes)) };
    return new Trail(components, swarm, last);
  }

  get last(): Last {
    return this.#last;
  }

  /** Whether the newest entry here was made in this life. */
  async hasEntryOf(incarnation: Incarnation): Promise<boolean> {
    const bytes = this.#c.catalog.store.get(trailKey(this.#last.sequence));
    return bytes !== undefined && decodeSigned(bytes).incarnation === incarnation;
  }

  /** On disk when it resolves. Nothing where nothing is written from this home. */
  async append(what: string, details: Readonly<Record<string, string | number>>): Promise<void> {
    const { catalog, clock, signer } = this.#c;
    if (catalog.state.readOnly) return;
    await this.#writing.run(async () => {
      const { sequence: before, hash: previous } = this.#last;
      const sequence = before + 1;
      if (sequence > TRAIL_SEQUENCE_MAX) return;
      const body = trailBody.encode({
        v: 1,
        previous,
        timeMs: clock.wallMs(),
        what,
        details: Object.entries(details)
          .slice(0, TRAIL_DETAILS_MAX)
          .map(([name, value]): [string, string] => [
            name,
            String(value).slice(0, TRAIL_DETAIL_CHARACTERS_MAX),
          ]),
      });
      const { incarnation } = catalog;
      const signed = signStatement(
        { type: "trail", swarm: this.#swarm, incarnation, epoch: sequence, body },
        signer,
      );
      const op = { type: "put", key: trailKey(sequence), value: encodeSigned(signed) } as const;
      await catalog.store.write([op], { sync: true });
      this.#last = { sequence, hash: signedHash(signed) };
    });
  }

  /** Entries that are on this disk, the oldest first. */
  async entries(): Promise<{ sequence: number; bytes: Uint8Array }[]> {
    const all: { sequence: number; bytes: Uint8Array }[] = [];
    for await (const entry of entriesFrom(this.#c.catalog, 0)) all.push(entry);
    return all;
  }

  /** Fetched entries of a page that was not here; their places in the trail are what they say. */
  async keep(entries: readonly { sequence: number; bytes: Uint8Array }[]): Promise<void> {
    const ops = entries.map(
      ({ sequence, bytes }): MetaOp => ({ type: "put", key: trailKey(sequence), value: bytes }),
    );
    await this.#c.catalog.store.write(ops, { sync: false });
  }

  /**
   * Pages for the next head. A full one stays where it is as long as that can be relied on; what is not on this disk cannot
   * be written anew, and stays too. `undefined` where nothing was ever entered.
   */
  async plan(pageEntries: number, isReliable: (ref: SegmentRef) => boolean): Promise<TrailPlan | undefined> {
    const { sequence, hash } = this.#last;
    if (sequence === 0) return undefined;
    const size = Math.max(1, Math.min(pageEntries, TRAIL_PAGE_ENTRIES));
    const known = this.#c.catalog.state.trail?.pages ?? [];
    const pages: PlannedPage[] = [];
    let next = known[0]?.from ?? (await this.#firstHere());
    for (const page of known) {
      const end = page.from + page.entries;
      const grows = page === known.at(-1) && page.entries < size && sequence >= end;
      const isThere = isReliable({ incarnation: page.at.incarnation, number: page.at.segment });
      const own = grows || !isThere ? this.#ownPage(page.from, page.entries) : undefined;
      if (grows && own !== undefined) break;
      pages.push(own === undefined ? page : { from: page.from, entries: page.entries, bytes: own });
      next = end;
    }
    for (; next <= sequence; next += size) {
      const entries = Math.min(size, sequence - next + 1);
      const bytes = this.#ownPage(next, entries);
      if (bytes !== undefined) pages.push({ from: next, entries, bytes });
    }
    return { sequence, hash, pages: pages.slice(-TRAIL_PAGES_MAX) };
  }

  /** Whether all entries of the page are on this disk: it can be written anew elsewhere. */
  isHere({ from, entries }: { readonly from: number; readonly entries: number }): boolean {
    return this.#ownPage(from, entries) !== undefined;
  }

  async #firstHere(): Promise<number> {
    for await (const { sequence } of entriesFrom(this.#c.catalog, 0)) return sequence;
    return this.#last.sequence + 1;
  }

  #ownPage(from: number, entries: number): Uint8Array | undefined {
    const own: Uint8Array[] = [];
    for (let sequence = from; sequence < from + entries; sequence++) {
      const bytes = this.#c.catalog.store.get(trailKey(sequence));
      if (bytes === undefined) return undefined;
      own.push(bytes);
    }
    return trailPageCodec.encode({ v: 1, entries: own });
  }

  /** Of entries that no page of the newest head holds any more, and that are older than all that one does. */
  async forgetOld(): Promise<void> {
    const { catalog } = this.#c;
    const [oldest] = catalog.state.trail?.pages ?? [];
    if (oldest === undefined) return;
    const ops: MetaOp[] = [];
    for await (const { sequence } of entriesFrom(catalog, 0)) {
      if (sequence >= oldest.from) break;
      ops.push({ type: "delete", key: trailKey(sequence) });
    }
    if (ops.length > 0) await catalog.store.write(ops, { sync: false });
  }
}

/** Segments that hold the trail of the newest head: wanted as long as it is. */
export function trailSegments(trail: TrailStanding | undefined): SegmentRef[] {
  return (trail?.pages ?? []).map(({ at }) => ({ incarnation: at.incarnation, number: at.segment }));
}

/** Whether this page, as it was read, is what the trail has there. */
export function isPageOf(
  page: { readonly from: number; readonly entries: number },
  read: readonly { readonly sequence: number }[],
): boolean {
  return read.length === page.entries && read.every(({ sequence }, i) => sequence === page.from + i);
}

async function* entriesFrom(
  catalog: Catalog,
  from: number,
): AsyncGenerator<{ sequence: number; bytes: Uint8Array }> {
  const range = tableRange("trail");
  const start = from > 0 ? trailKey(from) : range.from;
  for await (const [key, bytes] of catalog.store.scan({ from: start, to: range.to })) {
    yield { sequence: must(readU64be(key, range.from.length), "number of a trail entry"), bytes };
  }
}
