import { z } from "zod";
import { concatBytes, readU64be, u64be } from "../base/bytes.ts";
import { idBytes, type OwnerId } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import type { GcRules } from "../upkeep/index.ts";
import { codec, count } from "../wire/codec.ts";

const PREFIX = 4;
/** The window slides by so many steps. */
const STEPS = 30;

export const brakeDay = codec(
  "day of the brake",
  z.object({ v: z.literal(1), heldBytes: count, removedBytes: count }).strict(),
);
type Day = Omit<ReturnType<(typeof brakeDay)["decode"]>, "v">;

/** How an owner stands. */
export interface BrakeStanding {
  /** Held for it at the start of the window. */
  readonly baseBytes: number;
  /** Of that, what live sets removed within it. */
  readonly removedBytes: number;
}

/**
 * What live sets removed of each owner, summed over a window that slides: whoever takes a little at a time gets no further than
 * who takes it at once. Days are those of this home's running time; what was held is written down on the first of a day.
 */
export class Brake {
  readonly #store: MetaStore;
  readonly #rules: GcRules;

  constructor(store: MetaStore, rules: GcRules) {
    this.#store = store;
    this.#rules = rules;
  }

  dayOf(runningMs: number): number {
    return Math.floor(runningMs / (this.#rules.brakeWindowMs / STEPS));
  }

  /** Whether so many bytes more may go today without a second key. */
  mayRemove({ baseBytes, removedBytes }: BrakeStanding, bytes: number): boolean {
    return removedBytes + bytes <= baseBytes * this.#rules.brakeShare;
  }

  async standing(owner: OwnerId, today: number): Promise<BrakeStanding> {
    return this.#standing(await this.#days(owner), today);
  }

  /**
   * How long of this home's running time until so many bytes may go with nobody saying so, if nothing else goes meanwhile; `undefined`
   * where the window's whole slide makes no room for them.
   */
  async roomInMs(owner: OwnerId, today: number, bytes: number): Promise<number | undefined> {
    const days = await this.#days(owner);
    for (let ahead = 1; ahead <= STEPS; ahead++)
      if (this.mayRemove(this.#standing(days, today + ahead), bytes))
        return ahead * (this.#rules.brakeWindowMs / STEPS);
    return undefined;
  }

  #standing(days: readonly [number, Day][], today: number): BrakeStanding {
    const before = days.filter(([day]) => day <= today - STEPS);
    const base = before.at(-1) ?? days[0];
    const within = days.filter(([day]) => day > today - STEPS);
    return {
      baseBytes: base?.[1].heldBytes ?? 0,
      removedBytes: within.reduce((sum, [, { removedBytes }]) => sum + removedBytes, 0),
    };
  }

  /** Notes what is held, if this day is new, and forgets what no window begins with any more. */
  async begin(owner: OwnerId, today: number, heldBytes: number): Promise<void> {
    const ops: MetaOp[] = [];
    if (this.#day(owner, today) === undefined) ops.push(putOp(owner, today, { heldBytes, removedBytes: 0 }));
    const days = await this.#days(owner);
    const old = days.filter(([day]) => day <= today - STEPS).slice(0, -1);
    for (const [day] of old) ops.push({ type: "delete", key: keyOf(owner, day) });
    if (ops.length > 0) await this.#store.write(ops, { sync: true });
  }

  /** To go along with the mark of what was removed, or taken back (less than 0). */
  countOp(owner: OwnerId, day: number, bytes: number): MetaOp[] {
    const known = this.#day(owner, day);
    if (known === undefined)
      return bytes > 0 ? [putOp(owner, day, { heldBytes: 0, removedBytes: bytes })] : [];
    return [putOp(owner, day, { ...known, removedBytes: Math.max(0, known.removedBytes + bytes) })];
  }

  #day(owner: OwnerId, day: number): Day | undefined {
    const value = this.#store.get(keyOf(owner, day));
    return value === undefined ? undefined : brakeDay.decode(value);
  }

  /** Oldest first. */
  async #days(owner: OwnerId): Promise<[number, Day][]> {
    const days: [number, Day][] = [];
    const from = keyOf(owner, 0);
    const to = keyOf(owner, Number.MAX_SAFE_INTEGER);
    for await (const [key, value] of this.#store.scan({ from, to }))
      days.push([readU64be(key, key.length - 8) ?? 0, brakeDay.decode(value)]);
    return days;
  }
}

function keyOf(owner: OwnerId, day: number): Uint8Array {
  return concatBytes(Uint8Array.of(PREFIX), idBytes(owner), u64be(day));
}

function putOp(owner: OwnerId, day: number, value: Day): MetaOp {
  return { type: "put", key: keyOf(owner, day), value: brakeDay.encode({ v: 1, ...value }) };
}
