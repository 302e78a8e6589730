import { describe, expect, it } from "vitest";
import { SeededRng } from "../../sim/rng.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { isFault } from "../../src/base/fault.ts";
import { type ShardId, shardKey } from "../../src/base/ids.ts";
import { KIB } from "../../src/base/units.ts";
import type { ShardStore } from "../../src/ports/shard-store.ts";
import { bytesNamed, shardId } from "../support/stores.ts";

export interface ShardStoreCase {
  readonly store: ShardStore;
  /** Closes it and opens what is on disk. */
  reopen(): Promise<ShardStore>;
  /** The file of a shard that is held goes missing, or is cut. */
  loseFile(id: ShardId): Promise<void>;
  truncateFile(id: ShardId, bytes: number): Promise<void>;
  /** The disk is not there any more, or is back. */
  pullOut(): Promise<void>;
  plugIn(): Promise<void>;
}

export const SHARD_STORE_CAPACITY_BYTES = 1024 * KIB;
const note = utf8("note");

/** The contract of src/ports/shard-store.ts; crashes are another suite's. */
export function shardStoreContract(name: string, make: () => Promise<ShardStoreCase>): void {
  const whole = async (store: ShardStore, id: ShardId) =>
    Buffer.from((await store.read(id, 0, 2 ** 24)) ?? []).toString("hex");
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

  describe(`ShardStore: ${name}`, () => {
    it("gives back bytes and note of what was put, after reopening too", async () => {
      const { store, reopen } = await make();
      const sizes = [0, 1, 4095, 4096, 16 * KIB, 300 * KIB];
      for (const [n, size] of sizes.entries()) {
        await store.put(shardId(n), bytesNamed(`s${n}`, size), bytesNamed(`n${n}`, 10 * n));
      }
      let current = store;
      for (const round of ["as put", "reopened"]) {
        for (const [n, size] of sizes.entries()) {
          expect(await whole(current, shardId(n))).toBe(hex(bytesNamed(`s${n}`, size)));
          const stat = current.stat(shardId(n));
          expect(stat?.bytes).toBe(size);
          expect(hex(stat?.note ?? new Uint8Array())).toBe(hex(bytesNamed(`n${n}`, 10 * n)));
        }
        if (round === "as put") current = await reopen();
      }
      await current.close();
    });

    it("has nothing of what was never put", async () => {
      const { store } = await make();
      await store.put(shardId(1), utf8("x"), note);
      for (const other of [shardId(2), shardId(1, 1), shardId(1, 0, 2)]) {
        expect(store.stat(other)).toBeUndefined();
        expect(await store.read(other, 0, 10)).toBeUndefined();
        await store.delete(other);
      }
      await store.close();
    });

    it("reads ranges, short at the end and empty beyond it", async () => {
      const { store } = await make();
      const bytes = bytesNamed("ranges", 10_000);
      await store.put(shardId(1), bytes, note);
      for (const [offset, length] of [
        [0, 10_000],
        [0, 1],
        [9_999, 1],
        [5_000, 3_000],
        [9_000, 5_000],
        [10_000, 10],
        [20_000, 10],
        [100, 0],
      ] as const) {
        const read = await store.read(shardId(1), offset, length);
        expect(hex(read ?? utf8("absent"))).toBe(hex(bytes.subarray(offset, offset + length)));
      }
      await store.close();
    });

    it("replaces bytes and note together, and gives their room back", async () => {
      const { store, reopen } = await make();
      const before = (await store.space()).usedBytes;
      await store.put(shardId(1), bytesNamed("old", 50_000), utf8("old"));
      await store.put(shardId(1), bytesNamed("new", 20_000), utf8("new"));
      expect(hex(store.stat(shardId(1))?.note ?? note)).toBe(hex(utf8("new")));
      const used = (await store.space()).usedBytes - before;
      expect(used).toBeGreaterThanOrEqual(20_000);
      expect(used).toBeLessThan(50_000);
      const again = await reopen();
      expect(await whole(again, shardId(1))).toBe(hex(bytesNamed("new", 20_000)));
      expect((await again.space()).usedBytes - before).toBe(used);
      await again.delete(shardId(1));
      expect((await again.space()).usedBytes).toBe(before);
      await again.close();
    });

    it("a reader beside a replacement sees the old bytes or the new ones", async () => {
      const { store } = await make();
      await store.put(shardId(1), new Uint8Array(9_000).fill(0), note);
      let done = false;
      const writer = (async () => {
        for (let n = 1; n <= 40; n++) await store.put(shardId(1), new Uint8Array(9_000).fill(n), note);
        done = true;
      })();
      while (!done) {
        const bytes = (await store.read(shardId(1), 0, 9_000)) ?? new Uint8Array();
        expect(bytes.length).toBe(9_000);
        expect(new Set(bytes).size).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writer;
      await store.close();
    });

    it("lists in byte order of the id, from any cursor on", async () => {
      const { store } = await make();
      const ids = [
        shardId(3),
        shardId(3, 1),
        shardId(3, 10),
        shardId(255),
        shardId(256),
        shardId(4_095),
        shardId(4_096),
        shardId(2 ** 40),
        shardId(0, 0, 2),
        shardId(0, 0, 255),
      ];
      for (const id of new SeededRng(2).shuffled(ids)) await store.put(id, utf8(shardKey(id)), note);
      const keys = ids.map(shardKey);
      const list = async (after: ShardId | undefined, limit: number) =>
        (await store.list(after, limit)).map((one) => shardKey(one.id));
      expect(await list(undefined, 100)).toEqual(keys);
      for (const [at, id] of ids.entries()) expect(await list(id, 3)).toEqual(keys.slice(at + 1, at + 4));
      await store.delete(shardId(255));
      // A cursor on what is not there any more goes on behind its place.
      expect((await list(shardId(255), 1))[0]).toBe(shardKey(shardId(256)));
      await store.close();
    });

    it("a file that is gone or cut short is neither hidden nor made up", async () => {
      const { store, loseFile, truncateFile, reopen } = await make();
      await store.put(shardId(1), bytesNamed("a", 8_000), note);
      await store.put(shardId(2), bytesNamed("b", 8_000), note);
      await loseFile(shardId(1));
      await truncateFile(shardId(2), 5_000);
      expect(await store.read(shardId(1), 0, 100)).toBeUndefined();
      expect(store.stat(shardId(1))?.bytes).toBe(8_000);
      const again = await reopen();
      expect(await again.read(shardId(1), 0, 100)).toBeUndefined();
      expect(again.stat(shardId(1))?.bytes).toBe(8_000);
      expect(await whole(again, shardId(2))).toBe(hex(bytesNamed("b", 8_000).subarray(0, 5_000)));
      await again.put(shardId(1), bytesNamed("a", 8_000), note);
      expect(await whole(again, shardId(1))).toBe(hex(bytesNamed("a", 8_000)));
      await again.delete(shardId(2));
      expect(again.stat(shardId(2))).toBeUndefined();
      await again.close();
    });

    it("refuses what exceeds the capacity, many at once too, and goes on when there is room", async () => {
      const { store } = await make();
      const size = 100 * KIB;
      const outcomes = await Promise.allSettled(
        Array.from({ length: 30 }, (_, n) => store.put(shardId(n), bytesNamed(`${n}`, size), note)),
      );
      const { usedBytes, freeBytes, capacityBytes } = await store.space();
      expect(capacityBytes).toBe(SHARD_STORE_CAPACITY_BYTES);
      expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
      expect(freeBytes).toBeLessThan(size);
      let held = 0;
      for (const [n, outcome] of outcomes.entries()) {
        if (outcome.status === "fulfilled") {
          held++;
          expect(await whole(store, shardId(n))).toBe(hex(bytesNamed(`${n}`, size)));
        } else {
          expect(isFault(outcome.reason, "DISK_FULL")).toBe(true);
          expect(store.stat(shardId(n))).toBeUndefined();
        }
      }
      expect(held).toBeGreaterThanOrEqual(9);
      const [first] = await store.list(undefined, 1);
      if (first !== undefined) await store.delete(first.id);
      await store.put(shardId(99), bytesNamed("99", size), note);
      await store.close();
    });

    it("a writing in quarantine is not held, and comes back by a put alone", async () => {
      const { store, reopen } = await make();
      for (const n of [1, 2, 3]) await store.put(shardId(n), bytesNamed(`${n}`, 8_000), utf8(`note ${n}`));
      const version = store.stat(shardId(2))?.version ?? "";
      const why = { reason: "its root is another", timeMs: 1_700_000_000_123 };
      expect(await store.quarantine(shardId(2), version, why)).toBe(true);
      let current = store;
      for (const round of ["as set aside", "reopened"]) {
        expect(current.stat(shardId(2))).toBeUndefined();
        expect(current.locate(shardId(2))).toBeUndefined();
        expect(await current.read(shardId(2), 0, 10)).toBeUndefined();
        expect((await current.list(undefined, 10)).map(({ id }) => id.number)).toEqual([1, 3]);
        expect([2, 1].map((number) => current.isSetAside(shardId(number)))).toEqual([true, false]);
        const aside = await current.quarantined(undefined, 10);
        expect(aside.map((one) => ({ ...one, note: hex(one.note) }))).toEqual([
          {
            id: shardId(2),
            bytes: 8_000,
            note: hex(utf8("note 2")),
            reason: why.reason,
            sinceMs: why.timeMs,
          },
        ]);
        // Kept aside, it still takes room.
        expect((await current.space()).usedBytes).toBeGreaterThan(24_000);
        if (round === "as set aside") current = await reopen();
      }
      await current.put(shardId(2), bytesNamed("anew", 8_000), note);
      expect(await whole(current, shardId(2))).toBe(hex(bytesNamed("anew", 8_000)));
      expect(await current.quarantined(undefined, 10)).toHaveLength(1);
      await current.dropQuarantined(shardId(2));
      expect(await current.quarantined(undefined, 10)).toEqual([]);
      expect((await current.space()).usedBytes).toBeLessThan(3 * 16_000);
      await current.close();
      current = await reopen();
      expect(await current.quarantined(undefined, 10)).toEqual([]);
      expect(await whole(current, shardId(2))).toBe(hex(bytesNamed("anew", 8_000)));
      await current.close();
    });

    it("quarantine touches no other writing than the one that was found bad", async () => {
      const { store, reopen, loseFile } = await make();
      const why = { reason: "missing", timeMs: 1 };
      await store.put(shardId(1), bytesNamed("a", 8_000), note);
      const first = store.stat(shardId(1))?.version ?? "";
      await store.put(shardId(1), bytesNamed("a", 8_000), note);
      expect(await store.quarantine(shardId(1), first, why)).toBe(false);
      expect(await store.quarantine(shardId(2), first, why)).toBe(false);
      expect(await whole(store, shardId(1))).toBe(hex(bytesNamed("a", 8_000)));
      // One without a file, twice over: one entry for each id.
      for (const round of [1, 2]) {
        const { version = "" } = store.stat(shardId(1)) ?? {};
        expect(version).not.toBe(first);
        await loseFile(shardId(1));
        const { usedBytes } = await store.space();
        expect(await store.quarantine(shardId(1), version, { reason: `${round}`, timeMs: round })).toBe(true);
        expect((await store.space()).usedBytes).toBeLessThanOrEqual(usedBytes);
        expect((await store.quarantined(undefined, 10)).map(({ reason }) => reason)).toEqual([`${round}`]);
        await store.put(shardId(1), bytesNamed("b", 8_000), note);
      }
      expect(await store.quarantined(shardId(1), 10)).toEqual([]);
      const again = await reopen();
      expect(await whole(again, shardId(1))).toBe(hex(bytesNamed("b", 8_000)));
      await again.close();
    });

    it("without its disk takes nothing and sets nothing aside; with it again all is as before", async () => {
      const { store, pullOut, plugIn, reopen } = await make();
      await store.put(shardId(1), bytesNamed("a", 8_000), note);
      expect(await store.presence()).toEqual({ present: true });
      const { version = "" } = store.stat(shardId(1)) ?? {};
      await pullOut();
      const refused = async (task: Promise<unknown>) =>
        expect(await task.catch((error: unknown) => isFault(error, "DISK_FAILED"))).toBe(true);
      let current = store;
      for (const round of ["while open", "reopened"]) {
        expect(await current.presence()).toMatchObject({ present: false, reason: expect.any(String) });
        await refused(current.put(shardId(2), utf8("x"), note));
        await refused(current.quarantine(shardId(1), version, { reason: "missing", timeMs: 1 }));
        expect(current.stat(shardId(1))?.bytes).toBe(8_000);
        if (round === "while open") current = await reopen();
      }
      await plugIn();
      expect(await current.presence()).toEqual({ present: true });
      expect(await whole(current, shardId(1))).toBe(hex(bytesNamed("a", 8_000)));
      await current.put(shardId(2), utf8("x"), note);
      await pullOut();
      await current.acceptDisk();
      expect(await current.presence()).toEqual({ present: true });
      expect(await current.read(shardId(1), 0, 10)).toBeUndefined();
      await current.put(shardId(2), utf8("y"), note);
      expect(await whole(current, shardId(2))).toBe(hex(utf8("y")));
      await current.close();
    });

    it("knows whether what lies around the bytes is sound, and where they are", async () => {
      const { store, loseFile } = await make();
      await store.put(shardId(1), bytesNamed("a", 8_000), note);
      expect(await store.isSound(shardId(1))).toBe(true);
      expect(await store.isSound(shardId(2))).toBe(false);
      expect(store.locate(shardId(1))).toMatchObject({ offset: 0, bytes: 8_000 });
      await loseFile(shardId(1));
      expect(await store.isSound(shardId(1))).toBe(false);
      await store.close();
    });

    it("keeps nothing of the caller's memory", async () => {
      const { store } = await make();
      const bytes = Buffer.from("shard bytes");
      const itsNote = Buffer.from("its note");
      await store.put(shardId(1), bytes, itsNote);
      bytes.fill(0);
      itsNote.fill(0);
      (await store.read(shardId(1), 0, 5))?.fill(1);
      store.stat(shardId(1))?.note.fill(1);
      expect(await whole(store, shardId(1))).toBe(hex(utf8("shard bytes")));
      expect(hex(store.stat(shardId(1))?.note ?? note)).toBe(hex(utf8("its note")));
      await store.close();
    });

    it("holds what a random history of puts and deletes leaves", async () => {
      const { store, reopen } = await make();
      const rng = new SeededRng("history");
      const model = new Map<number, string>();
      let current = store;
      for (let round = 0; round < 8; round++) {
        const chosen = rng.shuffled([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).slice(0, 6);
        await Promise.all(
          chosen.map(async (n) => {
            if (rng.chance(0.3)) {
              model.delete(n);
              return current.delete(shardId(n));
            }
            const bytes = rng.bytes(rng.below(20_000));
            model.set(n, hex(bytes));
            return current.put(shardId(n), bytes, utf8(String(bytes.length)));
          }),
        );
        if (round === 4) {
          await current.close();
          current = await reopen();
        }
        for (let n = 0; n < 10; n++) {
          const stat = current.stat(shardId(n));
          expect(stat === undefined ? undefined : await whole(current, shardId(n))).toBe(model.get(n));
        }
      }
      await current.close();
    });
  });
}
