import { z } from "zod";
import { utf8 } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import type { MetaStore } from "../ports/index.ts";
import { codec, count, textUpTo } from "../wire/codec.ts";

const KEY = utf8("tidying");
const REASON_MAX = 500;

const run = {
  startedMs: count,
  endedMs: count,
  /** Tries in a row that came to nothing, this one included. */
  failures: count,
  /** Why it failed. */
  reason: textUpTo(REASON_MAX).exactOptional(),
};

const tidying = codec(
  "tidying",
  z
    .object({
      v: z.literal(1),
      forget: z
        .object({
          ...run,
          kept: count,
          forgotten: count,
          /** Why nothing may be forgotten at all just now. */
          held: textUpTo(REASON_MAX).exactOptional(),
        })
        .strict()
        .exactOptional(),
      prune: z
        .object({ ...run, segments: count, bytes: count })
        .strict()
        .exactOptional(),
      /** Since the last prune that was done. */
      forgotten: count,
    })
    .strict(),
);
export type TidyState = Omit<ReturnType<(typeof tidying)["decode"]>, "v">;
export type ForgetRun = NonNullable<TidyState["forget"]>;
export type PruneRun = NonNullable<TidyState["prune"]>;

/** What tidying did last, over restarts. */
export class TidyRecords {
  readonly #store: MetaStore;
  #state: TidyState;

  private constructor(store: MetaStore, state: TidyState) {
    this.#store = store;
    this.#state = state;
  }

  /** What cannot be read, or is of a later version, is no loss: it is done once more. */
  static open(store: MetaStore): TidyRecords {
    const none: TidyState = { forgotten: 0 };
    const value = store.get(KEY);
    if (value === undefined) return new TidyRecords(store, none);
    try {
      const { v: _, ...state } = tidying.decode(value);
      return new TidyRecords(store, state);
    } catch (error) {
      if (!isFault(error)) throw error;
      return new TidyRecords(store, none);
    }
  }

  get state(): TidyState {
    return this.#state;
  }

  async save(change: Partial<TidyState>): Promise<void> {
    this.#state = { ...this.#state, ...change };
    const value = tidying.encode({ v: 1, ...this.#state });
    await this.#store.write([{ type: "put", key: KEY, value }], { sync: true });
  }
}

export const cutReason = (text: string): string => text.slice(0, REASON_MAX);
