import { z } from "zod";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import type { SnapshotEntry } from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import { CAPTURES_MAX, type Capture } from "../policy/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { codec, count } from "../wire/codec.ts";

const PREFIX = Uint8Array.of(1);
/** Groups of paths come and go; what is remembered of those that went is bounded. */
const GROUPS_MAX = 256;

export const capturesRecord = codec(
  "captures",
  z
    .object({
      v: z.literal(1),
      /** Of the newest. */
      timeMs: count,
      captures: z
        .array(z.object({ files: count, bytes: count, bytesNew: count, bytesPacked: count }).strict())
        .max(CAPTURES_MAX),
    })
    .strict(),
);

type Captured = Pick<SnapshotEntry, "tags" | "paths" | "timeMs">;

/** What snapshots of the same paths usually capture, over restarts. A recovered home learns it anew. */
export class CaptureBook {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  /** Oldest first. What cannot be read is learnt anew. */
  of(entry: Captured): readonly Capture[] {
    const value = this.#store.get(keyOf(entry));
    if (value === undefined) return [];
    try {
      return capturesRecord.decode(value).captures;
    } catch (error) {
      if (!isFault(error)) throw error;
      return [];
    }
  }

  async add(entry: Captured, capture: Capture): Promise<void> {
    const captures = [...this.of(entry), capture].slice(-CAPTURES_MAX);
    const value = capturesRecord.encode({ v: 1, timeMs: entry.timeMs, captures });
    const ops: MetaOp[] = [{ type: "put", key: keyOf(entry), value }];
    for (const key of await this.#oldest(keyOf(entry))) ops.push({ type: "delete", key });
    await this.#store.write(ops, { sync: false });
  }

  /** Those that make room for one more. */
  async #oldest(besides: Uint8Array): Promise<Uint8Array[]> {
    const known: { key: Uint8Array; timeMs: number }[] = [];
    for await (const [key, value] of this.#store.scan({ from: PREFIX, to: Uint8Array.of(2) })) {
      if (key.length === besides.length && key.every((byte, at) => byte === besides[at])) continue;
      known.push({ key: key.slice(), timeMs: timeOf(value) });
    }
    known.sort((a, b) => a.timeMs - b.timeMs);
    return known.slice(0, Math.max(0, known.length + 1 - GROUPS_MAX)).map(({ key }) => key);
  }
}

function timeOf(value: Uint8Array): number {
  try {
    return capturesRecord.decode(value).timeMs;
  } catch (error) {
    if (!isFault(error)) throw error;
    return 0;
  }
}

/** Its set's tag with its paths: a set that is told to save other paths is another one. */
function keyOf({ tags, paths }: Captured): Uint8Array {
  const set = tags.find((tag) => tag.startsWith("set:")) ?? "";
  return concatBytes(PREFIX, sha256(utf8(JSON.stringify([set, ...paths.map((path) => [...path])]))));
}
