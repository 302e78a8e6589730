import { describe, expect, it } from "vitest";
import { AssertionFailure } from "../../src/base/assert.ts";
import type { Spool } from "../../src/ports/spool.ts";
import { bytesNamed } from "../support/stores.ts";

/** The contract of src/ports/spool.ts; `make` gives a store and how to open what is on disk again. */
export function spoolContract(
  name: string,
  make: () => Promise<{ readonly spool: Spool; reopen(): Promise<Spool> }>,
): void {
  const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString("hex");

  describe(`Spool: ${name}`, () => {
    it("gives back whole what was put, after reopening too", async () => {
      const { spool, reopen } = await make();
      await spool.put("segment-1", bytesNamed("1", 100_000));
      await spool.put("segment-2", new Uint8Array(0));
      for (const current of [spool, await reopen()]) {
        expect(hex(await current.get("segment-1"))).toBe(hex(bytesNamed("1", 100_000)));
        expect((await current.get("segment-2"))?.length).toBe(0);
        expect(await current.get("segment-3")).toBeUndefined();
        expect(await current.list()).toEqual([
          { name: "segment-1", bytes: 100_000 },
          { name: "segment-2", bytes: 0 },
        ]);
      }
    });

    it("replaces and deletes", async () => {
      const { spool } = await make();
      await spool.put("a", bytesNamed("old", 5_000));
      await spool.put("a", bytesNamed("new", 50));
      expect(hex(await spool.get("a"))).toBe(hex(bytesNamed("new", 50)));
      await spool.delete("a");
      await spool.delete("a");
      expect(await spool.get("a")).toBeUndefined();
      expect(await spool.list()).toEqual([]);
    });

    it("takes many at once, and the last of several with one name", async () => {
      const { spool } = await make();
      await Promise.all(
        Array.from({ length: 40 }, (_, n) => spool.put(`f-${n % 20}`, bytesNamed(`${n}`, 3_000))),
      );
      expect((await spool.list()).length).toBe(20);
      for (let n = 0; n < 20; n++) {
        expect(hex(await spool.get(`f-${n}`))).toBe(hex(bytesNamed(`${n + 20}`, 3_000)));
      }
    });

    it("refuses names that could be paths", async () => {
      const { spool } = await make();
      for (const bad of ["", "../x", "a/b", "A", "a.tmp", "a\0"]) {
        await expect((async () => spool.put(bad, new Uint8Array(1)))()).rejects.toThrow(AssertionFailure);
      }
      expect(await spool.list()).toEqual([]);
    });

    it("keeps nothing of the caller's memory, and says what is free", async () => {
      const { spool } = await make();
      const bytes = Buffer.from("bytes");
      await spool.put("a", bytes);
      bytes.fill(0);
      (await spool.get("a"))?.fill(1);
      expect(Buffer.from((await spool.get("a")) ?? []).toString()).toBe("bytes");
      const { freeBytes, totalBytes } = await spool.diskSpace();
      expect(freeBytes).toBeGreaterThan(0);
      expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
    });
  });
}
