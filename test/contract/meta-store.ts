import { describe, expect, it } from "vitest";
import { SeededRng } from "../../sim/rng.ts";
import { compareBytes, toHex, u32be, utf8 } from "../../src/base/bytes.ts";
import type { MetaOp, MetaRange, MetaStore } from "../../src/ports/meta-store.ts";
import { bytesNamed, collect } from "../support/stores.ts";

export interface MetaStoreCase {
  readonly store: MetaStore;
  /** Closes it and opens what is on disk. */
  reopen(): Promise<MetaStore>;
}

const put = (key: Uint8Array, value: Uint8Array): MetaOp => ({ type: "put", key, value });
const del = (key: Uint8Array): MetaOp => ({ type: "delete", key });

/** The contract of src/ports/meta-store.ts. */
export function metaStoreContract(name: string, make: () => Promise<MetaStoreCase>): void {
  const hexKeys = async (store: MetaStore, range: MetaRange) =>
    (await collect(store.scan(range))).map(([key]) => toHex(key));

  describe(`MetaStore: ${name}`, () => {
    it("gives back what was written, and nothing for the rest", async () => {
      const { store } = await make();
      await store.write([put(utf8("a"), utf8("1")), put(utf8("empty"), new Uint8Array(0))], { sync: false });
      expect(Buffer.from(store.get(utf8("a")) ?? []).toString()).toBe("1");
      expect(store.get(utf8("empty"))?.length).toBe(0);
      expect(store.get(utf8("b"))).toBeUndefined();
      await store.write([del(utf8("a")), del(utf8("never"))], { sync: true });
      expect(store.get(utf8("a"))).toBeUndefined();
      await store.close();
    });

    it("applies the operations of one write in their order", async () => {
      const { store } = await make();
      const key = utf8("k");
      await store.write([put(key, utf8("1")), del(key), put(key, utf8("2"))], { sync: false });
      expect(Buffer.from(store.get(key) ?? []).toString()).toBe("2");
      await store.write([put(key, utf8("3")), del(key)], { sync: false });
      expect(store.get(key)).toBeUndefined();
      await store.close();
    });

    it("orders keys as bytes, not as text", async () => {
      const { store } = await make();
      const keys = [
        [0],
        [0, 0],
        [0, 255],
        [1],
        [65],
        [127],
        [128],
        [195, 169],
        [255],
        [255, 0],
        [255, 255],
      ].map((key) => Uint8Array.from(key));
      await store.write(
        new SeededRng(1).shuffled(keys).map((key) => put(key, key)),
        { sync: false },
      );
      expect(await hexKeys(store, {})).toEqual(keys.map(toHex));
      expect(await hexKeys(store, { reverse: true })).toEqual(keys.map(toHex).reverse());
      await store.close();
    });

    it("scans exactly the range, either way, up to the limit", async () => {
      const { store } = await make();
      const all = Array.from({ length: 3000 }, (_, n) => u32be(n * 2));
      await store.write(
        all.map((key) => put(key, bytesNamed(toHex(key), 300))),
        { sync: false },
      );
      const rng = new SeededRng("ranges");
      for (let round = 0; round < 30; round++) {
        const [a, b] = [rng.below(6100), rng.below(6100)];
        const reverse = rng.chance(0.5);
        const limit = rng.chance(0.5) ? rng.below(2500) + 1 : undefined;
        const range: MetaRange = {
          ...(rng.chance(0.8) ? { from: u32be(a) } : {}),
          ...(rng.chance(0.8) ? { to: u32be(b) } : {}),
          ...(limit === undefined ? {} : { limit }),
          reverse,
        };
        let expected = all.filter(
          (key) =>
            (range.from === undefined || compareBytes(key, range.from) >= 0) &&
            (range.to === undefined || compareBytes(key, range.to) < 0),
        );
        if (reverse) expected = expected.reverse();
        expect(await hexKeys(store, range)).toEqual(expected.slice(0, limit).map(toHex));
      }
      const [first] = await collect(store.scan({ from: u32be(100), limit: 1 }));
      expect(toHex(first?.[1] ?? new Uint8Array())).toBe(toHex(bytesNamed(toHex(u32be(100)), 300)));
      expect(await hexKeys(store, { limit: 0 })).toEqual([]);
      await store.close();
    });

    it("a scan under way survives writes to what it has yet to see", async () => {
      const { store } = await make();
      await store.write(
        Array.from({ length: 2500 }, (_, n) => put(u32be(n), u32be(n))),
        { sync: false },
      );
      let seen = 0;
      for await (const [key] of store.scan({})) {
        if (seen % 500 === 0) await store.write([del(key)], { sync: false });
        seen++;
      }
      expect(seen).toBe(2500);
      expect((await hexKeys(store, {})).length).toBe(2495);
      await store.close();
    });

    it("keeps nothing of the caller's memory, and hands out none of its own", async () => {
      const { store } = await make();
      const key = utf8("key");
      const value = Buffer.from("value");
      await store.write([put(key, value)], { sync: false });
      value.fill(0);
      store.get(utf8("key"))?.fill(1);
      for await (const [, seen] of store.scan({})) seen.fill(2);
      expect(Buffer.from(store.get(utf8("key")) ?? []).toString()).toBe("value");
      await store.close();
    });

    it("takes many writes at once, each visible when it resolves", async () => {
      const { store } = await make();
      await Promise.all(
        Array.from({ length: 400 }, async (_, n) => {
          await store.write([put(u32be(n), u32be(n)), put(u32be(n + 1000), u32be(n))], { sync: n % 3 === 0 });
          expect(store.get(u32be(n))).toBeDefined();
          expect(store.get(u32be(n + 1000))).toBeDefined();
        }),
      );
      expect((await hexKeys(store, {})).length).toBe(800);
      await store.close();
    });

    it("has everything after it was closed and opened", async () => {
      const { store, reopen } = await make();
      const model = new Map<string, string>();
      const rng = new SeededRng("reopen");
      for (let round = 0; round < 60; round++) {
        const ops = Array.from({ length: rng.below(20) }, () => {
          const key = u32be(rng.below(200));
          const value = rng.bytes(rng.below(2000));
          const kept = rng.chance(0.7);
          if (kept) model.set(toHex(key), toHex(value));
          else model.delete(toHex(key));
          return kept ? put(key, value) : del(key);
        });
        await store.write(ops, { sync: rng.chance(0.2) });
      }
      const again = await reopen();
      const found = (await collect(again.scan({}))).map(([key, value]) => [toHex(key), toHex(value)]);
      expect(found).toEqual([...model].sort());
      await again.close();
    });
  });
}
