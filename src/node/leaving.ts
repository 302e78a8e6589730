import { z } from "zod";
import { DAY_MS } from "../base/units.ts";
import { type Catalog, SegmentRangeSet, type SegmentRef, stateKeyOf } from "../catalog/index.ts";
import { OwnQuota, quotaBytesOf } from "../exchange/index.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import type { UpkeepSettings } from "../upkeep/index.ts";
import { codec, count, OWN_SHAPE } from "../wire/codec.ts";
import type { OwnLiveSet } from "./own-live-set.ts";

const KEY = stateKeyOf("leaving");
/** One of a day and more, of the weeks that holders keep what they are to delete; then the oldest are taken together. */
const ENTRIES_MAX = 64;

export const leavingRecord = codec(
  "what was given up and is still held",
  z
    .object({
      v: z.literal(1),
      entries: z.array(z.object({ timeMs: count, bytes: count }).strict()).max(ENTRIES_MAX),
    })
    .strict(),
  OWN_SHAPE,
);
type Entry = ReturnType<(typeof leavingRecord)["decode"]>["entries"][number];

export interface LeavingComponents {
  readonly catalog: Pick<Catalog, "store" | "owner"> & {
    readonly segments: Pick<Catalog["segments"], "get" | "all">;
  };
  readonly live: Pick<OwnLiveSet, "state">;
  readonly clock: Pick<Clock, "wallMs">;
}

/**
 * What was given up and holders have not deleted yet: it takes the quota as before until then, so that an owner that counts on that room
 * would be refused by its holders. The times are those of holders that run all the while; what locks or the brake keep longer is not in it.
 */
export class Leaving {
  readonly #c: LeavingComponents;
  readonly #keptMs: number;

  constructor(components: LeavingComponents, { collection }: Pick<UpkeepSettings, "collection">) {
    this.#c = components;
    const { rules, everyMs } = collection;
    // Each of the two steps is taken with the next round after its time.
    this.#keptMs = rules.delayMs + rules.trashMs + 2 * everyMs;
  }

  /** Bytes of the quota, besides those of segments that are wanted. */
  async bytes(): Promise<number> {
    const { catalog, live } = this.#c;
    let bytes = this.#entries().reduce((sum, entry) => sum + entry.bytes, 0);
    const givenUp = live.state?.givenUp ?? [];
    if (live.state === undefined || !this.#isHeld(live.state.timeMs)) return bytes;
    const recent = new SegmentRangeSet();
    recent.addAll(givenUp);
    for await (const [ref, record] of catalog.segments.all())
      if (recent.has(ref)) bytes += quotaBytesOf(record);
    return bytes;
  }

  /** Bytes of the quota that the owner has taken, as holders will count. */
  async quotaUsedBytes(): Promise<number> {
    const gone = new SegmentRangeSet();
    gone.addAll(this.#c.live.state?.givenUp ?? []);
    let bytes = await this.bytes();
    for await (const [ref, record] of this.#c.catalog.segments.all())
      if (!gone.has(ref)) bytes += quotaBytesOf(record);
    return bytes;
  }

  /** @param quotaBytes of the certificate; without one nothing is counted */
  async quota(quotaBytes: number | undefined): Promise<OwnQuota> {
    const { owner } = this.#c.catalog;
    return new OwnQuota(owner, quotaBytes, quotaBytes === undefined ? 0 : await this.quotaUsedBytes());
  }

  /** To go along with the removal of the records of what was given up earlier. */
  noteOps(refs: readonly SegmentRef[], givenUpMs: number): MetaOp[] {
    let bytes = 0;
    for (const ref of refs) {
      const record = this.#c.catalog.segments.get(ref);
      if (record !== undefined) bytes += quotaBytesOf(record);
    }
    if (bytes === 0) return [];
    const entries = merged([...this.#entries(), { timeMs: givenUpMs, bytes }]);
    return [{ type: "put", key: KEY, value: leavingRecord.encode({ v: 1, entries }) }];
  }

  /** Those that count now, oldest first. */
  #entries(): Entry[] {
    const value = this.#c.catalog.store.get(KEY);
    const entries = value === undefined ? [] : leavingRecord.decode(value).entries;
    return entries.filter(({ timeMs }) => this.#isHeld(timeMs));
  }

  /** A clock that was set back keeps too much on the account, for as long as it was set back. */
  #isHeld(timeMs: number): boolean {
    return this.#c.clock.wallMs() - timeMs < this.#keptMs;
  }
}

/** Of a day together, with its latest time. */
function merged(entries: readonly Entry[]): Entry[] {
  const days = Map.groupBy(entries, ({ timeMs }) => Math.floor(timeMs / DAY_MS));
  const sums = [...days.values()].map((day) => ({
    timeMs: Math.max(...day.map(({ timeMs }) => timeMs)),
    bytes: day.reduce((sum, { bytes }) => sum + bytes, 0),
  }));
  sums.sort((a, b) => a.timeMs - b.timeMs);
  const excess = sums.splice(0, Math.max(0, sums.length - ENTRIES_MAX));
  const [first] = sums;
  if (first !== undefined) first.bytes += excess.reduce((sum, { bytes }) => sum + bytes, 0);
  return sums;
}
