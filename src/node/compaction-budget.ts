import { z } from "zod";
import { DAY_MS } from "../base/units.ts";
import { stateKeyOf } from "../catalog/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import type { UpkeepSettings } from "../upkeep/index.ts";
import { codec, count, OWN_SHAPE } from "../wire/codec.ts";

const KEY = stateKeyOf("compaction");
/** What holders sum over, too, before they wait for a second key. */
const WINDOW_DAYS = 30;

const spent = codec(
  "compaction budget",
  z
    .object({
      v: z.literal(1),
      days: z
        .array(z.object({ day: count, movedBytes: count, freedBytes: count }).strict())
        .max(2 * WINDOW_DAYS),
    })
    .strict(),
  OWN_SHAPE,
);
type Days = ReturnType<(typeof spent)["decode"]>["days"];

export interface CompactionRules {
  /** Fetched and sent in a day. */
  readonly bytesADay: number;
  /** Of all shard bytes: what compaction gives up within 30 days. */
  readonly freedShare: number;
}

/** Half of what holders let go within that time: the rest is for what is forgotten. Where they let all go, it is all. */
export function compactionRules({ collection }: Pick<UpkeepSettings, "collection">): CompactionRules {
  const { brakeShare } = collection.rules;
  return { bytesADay: collection.compactADayBytes, freedShare: brakeShare < 1 ? brakeShare / 2 : 1 };
}

/** What compaction has moved and given up lately, by days of this machine's clock; over restarts. */
export class CompactionBudget {
  readonly #store: MetaStore;
  readonly #rules: CompactionRules;

  constructor(store: MetaStore, rules: CompactionRules) {
    this.#store = store;
    this.#rules = rules;
  }

  left(nowMs: number, storedBytes: number): { movedBytes: number; freedBytes: number } {
    const today = Math.floor(nowMs / DAY_MS);
    let movedBytes = this.#rules.bytesADay;
    let freedBytes = storedBytes * this.#rules.freedShare;
    for (const one of this.#days(today)) {
      // A day of a clock that was ahead counts like today.
      if (one.day >= today) movedBytes -= one.movedBytes;
      freedBytes -= one.freedBytes;
    }
    return { movedBytes: Math.max(0, movedBytes), freedBytes: Math.max(0, freedBytes) };
  }

  async spend(nowMs: number, moved: { movedBytes: number; freedBytes: number }): Promise<void> {
    const today = Math.floor(nowMs / DAY_MS);
    const days = this.#days(today);
    const own = days.find(({ day }) => day === today) ?? { day: today, movedBytes: 0, freedBytes: 0 };
    const now = {
      day: today,
      movedBytes: own.movedBytes + moved.movedBytes,
      freedBytes: own.freedBytes + moved.freedBytes,
    };
    const others = days.filter(({ day }) => day !== today).slice(-2 * WINDOW_DAYS + 1);
    const value = spent.encode({ v: 1, days: [...others, now] });
    const op: MetaOp = { type: "put", key: KEY, value };
    await this.#store.write([op], { sync: true });
  }

  #days(today: number): Days {
    const value = this.#store.get(KEY);
    const days = value === undefined ? [] : spent.decode(value).days;
    return days.filter(({ day }) => day > today - WINDOW_DAYS && day < today + WINDOW_DAYS);
  }
}
