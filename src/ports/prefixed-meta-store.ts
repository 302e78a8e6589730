import { concatBytes } from "../base/bytes.ts";
import type { MetaRange, MetaStore } from "./meta-store.ts";

/**
 * A namespace within a store: every key gets `prefix` in front. Two namespaces do not meet as long as neither
 * prefix is the beginning of the other. `close` does nothing: who opened the store closes it.
 */
export function prefixed(store: MetaStore, prefix: Uint8Array): MetaStore {
  const inside = (key: Uint8Array): Uint8Array => concatBytes(prefix, key);
  const end = prefixEnd(prefix);
  return {
    get: (key) => store.get(inside(key)),
    async *scan(range: MetaRange) {
      const to = range.to === undefined ? end : inside(range.to);
      const within: MetaRange = {
        ...range,
        from: inside(range.from ?? new Uint8Array(0)),
        ...(to === undefined ? {} : { to }),
      };
      for await (const [key, value] of store.scan(within)) yield [key.subarray(prefix.length), value];
    },
    write: (ops, options) =>
      store.write(
        ops.map((op) => ({ ...op, key: inside(op.key) })),
        options,
      ),
    close: async () => {},
  };
}

/** The first key, in byte order, after all that begin with `prefix`; `undefined` when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = prefix.slice(0, length);
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}
