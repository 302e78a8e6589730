import { concatBytes, toHex, utf8 } from "../base/bytes.ts";
import { DAY_MS } from "../base/units.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import type { KnownEntry } from "./book.ts";
import { type AdministratorsEntry, decodeEntry } from "./entry.ts";
import { storedEntryCodec } from "./roster-disk.ts";

const PREFIX = utf8("rival/");
const PREFIX_END = utf8("rival0");
/** Who makes them has an administrator's key; more of them say nothing new. */
export const RIVALS_MAX = 16;
/** So long they are shown; then somebody has looked, or will not. */
export const RIVALS_KEPT_MS = 30 * DAY_MS;

export type Rival = KnownEntry<AdministratorsEntry>;

function storeKey({ entry }: Rival): Uint8Array {
  return concatBytes(PREFIX, entry.hash);
}

/**
 * Changes of the administrators, properly signed, that do not count here because another one with their number does. No
 * part of the roster: each node keeps those that it saw, so that people can be told that there were two.
 */
export class Rivals {
  readonly #known = new Map<string, Rival>();

  static async open(store: MetaStore): Promise<Rivals> {
    const rivals = new Rivals();
    for await (const [, value] of store.scan({ from: PREFIX, to: PREFIX_END })) {
      const { seenMs, entry: bytes } = storedEntryCodec.decode(value);
      const entry = decodeEntry(bytes);
      if (entry.type === "administrators") rivals.#known.set(toHex(entry.hash), { entry, seenMs });
    }
    return rivals;
  }

  list(nowMs: number): Rival[] {
    return [...this.#known.values()].filter((rival) => isRecent(rival, nowMs));
  }

  /** Those of them that are new and for which there is room, and what has to be written for them. */
  fresh(
    offered: readonly Rival[],
    nowMs: number,
  ): { readonly rivals: readonly Rival[]; readonly ops: readonly MetaOp[] } {
    const old = [...this.#known.values()].filter((rival) => !isRecent(rival, nowMs));
    const room = RIVALS_MAX - (this.#known.size - old.length);
    const rivals = offered.filter(({ entry }) => !this.#known.has(toHex(entry.hash))).slice(0, room);
    if (rivals.length === 0) return { rivals, ops: [] };
    const puts = rivals.map((rival): MetaOp => {
      const { seenMs, entry } = rival;
      return {
        type: "put",
        key: storeKey(rival),
        value: storedEntryCodec.encode({ v: 1, seenMs, entry: entry.bytes }),
      };
    });
    return {
      rivals,
      ops: [...old.map((rival): MetaOp => ({ type: "delete", key: storeKey(rival) })), ...puts],
    };
  }

  /** Once those operations are on disk. */
  note(rivals: readonly Rival[], nowMs: number): void {
    for (const [name, rival] of this.#known) if (!isRecent(rival, nowMs)) this.#known.delete(name);
    for (const rival of rivals) this.#known.set(toHex(rival.entry.hash), rival);
  }
}

function isRecent({ seenMs }: Rival, nowMs: number): boolean {
  return nowMs - seenMs < RIVALS_KEPT_MS;
}
