import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, type TestContext } from "vitest";
import { openFileShardStore, openFileSpool, openLevelMetaStore } from "../../src/adapters/store/index.ts";
import { u32be, utf8 } from "../../src/base/bytes.ts";
import { isFault } from "../../src/base/fault.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import type { MetaStore } from "../../src/ports/meta-store.ts";
import { prefixed } from "../../src/ports/prefixed-meta-store.ts";
import { bytesNamed, collect, eventually, shardId, temporaryDirectory } from "../support/stores.ts";

/** A file system of its own, so small that it can be filled; skips the test where mounting is not permitted. */
function smallDisk(context: TestContext, size: string): string {
  const directory = temporaryDirectory();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory], { stdio: "pipe" });
  } catch (error) {
    context.skip(`mounting a tmpfs is not permitted here: ${String(error)}`);
  }
  // Runs before the directory is removed: the last one registered is the first.
  onTestFinished(() => {
    execFileSync("umount", ["-l", directory]);
  });
  return directory;
}

/** Takes all room that is left but for `spareBytes`, as another program might. */
function fillUp(directory: string, spareBytes = 0): string {
  const path = join(directory, `filler-${readdirSync(directory).length}`);
  mkdirSync(path);
  const spare = join(path, "spare");
  writeFileSync(spare, new Uint8Array(spareBytes));
  let n = 0;
  for (let size = 2 ** 20; size >= 4096; ) {
    try {
      writeFileSync(join(path, String(n)), new Uint8Array(size));
      n++;
    } catch {
      rmSync(join(path, String(n)), { force: true });
      size /= 2;
    }
  }
  rmSync(spare);
  return path;
}

/** Until the disk is full: how many writes were confirmed. */
async function writeUntilFull(store: MetaStore, first: number, sync: boolean): Promise<number> {
  for (let n = first; ; n++) {
    try {
      await store.write([{ type: "put", key: u32be(n), value: bytesNamed(`${n}`, 1_000) }], { sync });
    } catch (error) {
      expect(isFault(error, "DISK_FULL")).toBe(true);
      return n;
    }
  }
}

function expectAll(store: MetaStore, count: number): void {
  for (let n = 0; n < count; n++) {
    const value = store.get(u32be(n)) ?? new Uint8Array();
    expect(Buffer.compare(value, bytesNamed(`${n}`, 1_000))).toBe(0);
  }
}

const heal = (store: MetaStore, first: number, sync: boolean) =>
  Promise.all(
    Array.from({ length: 10 }, (_, n) =>
      store.write([{ type: "put", key: u32be(first + n), value: bytesNamed(`${first + n}`, 1_000) }], {
        sync,
      }),
    ),
  );

describe("level on a full disk", () => {
  for (const sync of [true, false]) {
    it(`refuses ${sync ? "synced" : "unsynced"} writes, goes on reading, and writes again when there is room`, async (context) => {
      const disk = smallDisk(context, "24m");
      const store = await openLevelMetaStore(join(disk, "db"), SILENT_LOG);
      let written = 0;
      for (let round = 0; round < 3; round++) {
        const filler = fillUp(disk, 300_000);
        written = await writeUntilFull(store, written, sync);
        // Whoever comes while it is full is told so; readers notice nothing.
        await expect(
          store.write([{ type: "put", key: utf8("x"), value: new Uint8Array(9) }], { sync: true }),
        ).rejects.toMatchObject({ detail: { code: "DISK_FULL" } });
        expectAll(store, written);
        expect((await collect(store.scan({ to: u32be(written) }))).length).toBe(written);
        rmSync(filler, { recursive: true });
        // Reads beside the replacement of the database see all of it at every moment.
        let healed = false;
        const reading = (async () => {
          while (!healed) {
            expectAll(store, Math.min(written, 50));
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
        await eventually(() => heal(store, written, sync));
        healed = true;
        await reading;
        written += 10;
        expectAll(store, written);
      }
      await store.close();
      const again = await openLevelMetaStore(join(disk, "db"), SILENT_LOG);
      expectAll(again, written);
      expect(readdirSync(join(disk, "db")).filter((name) => name.startsWith("db-")).length).toBe(1);
      await again.close();
    });
  }

  it("heals by itself, without a write asking for it", async (context) => {
    const disk = smallDisk(context, "16m");
    const events: string[] = [];
    const log = { ...SILENT_LOG, info: (event: string) => events.push(event) };
    const store = await openLevelMetaStore(join(disk, "db"), log);
    const filler = fillUp(disk, 100_000);
    const written = await writeUntilFull(store, 0, true);
    rmSync(filler, { recursive: true });
    await eventually(async () => expect(events).toContain("meta-store.recovered"));
    await heal(store, written, true);
    await store.close();
  });
});

describe("the shard store on a full disk", () => {
  it("answers DISK_FULL, loses nothing, and goes on when there is room", async (context) => {
    const disk = smallDisk(context, "8m");
    const database = await openLevelMetaStore(join(disk, "db"), SILENT_LOG);
    const open = (reserveBytes: number) =>
      openFileShardStore({
        directory: join(disk, "shards"),
        index: prefixed(database, utf8("s")),
        capacityBytes: 2 ** 40,
        reserve: { bytes: reserveBytes, ratio: 0 },
        log: SILENT_LOG,
      });
    const put = (n: number) => store.put(shardId(n), bytesNamed(`${n}`, 100_000), utf8("note"));
    const expectHeld = async (ids: Iterable<number>) => {
      for (const n of ids) {
        const bytes = (await store.read(shardId(n), 0, 200_000)) ?? new Uint8Array();
        expect(Buffer.compare(bytes, bytesNamed(`${n}`, 100_000))).toBe(0);
      }
    };
    let store = await open(1_000_000);
    const held = new Set<number>();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, async (_, n) => {
        await put(n);
        held.add(n);
      }),
    );
    const faults = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(held.size).toBeGreaterThan(30);
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.every((fault) => isFault(fault, "DISK_FULL"))).toBe(true);
    // The reserve is kept: the database has never met a full disk.
    expect((await store.space()).freeBytes).toBeLessThan(120_000);
    await database.write([{ type: "put", key: utf8("other"), value: new Uint8Array(300_000) }], {
      sync: true,
    });
    await store.close();

    // Now without a reserve, so that the disk itself says no, in the middle of a write or in the index.
    store = await open(0);
    await expectHeld(held);
    for (let n = 100; n < 140; n++) {
      await put(n).then(
        () => held.add(n),
        (error: unknown) => expect(isFault(error, "DISK_FULL")).toBe(true),
      );
    }
    const filler = fillUp(disk);
    await expect(put(200)).rejects.toMatchObject({ detail: { code: "DISK_FULL" } });
    await expectHeld(held);
    rmSync(filler, { recursive: true });
    const victims = [...held].slice(0, 5);
    await eventually(async () => {
      for (const n of victims) await store.delete(shardId(n));
    });
    for (const n of victims) held.delete(n);
    await eventually(() => put(201));
    held.add(201);
    await expectHeld(held);
    expect((await store.list(undefined, 1_000)).length).toBe(held.size);
    await store.close();
    await database.close();
  });
});

describe("the spool on a full disk", () => {
  it("answers DISK_FULL and leaves nothing behind", async (context) => {
    const disk = smallDisk(context, "4m");
    const spool = await openFileSpool({ directory: join(disk, "spool") });
    await spool.put("a", bytesNamed("a", 1_000_000));
    await expect(spool.put("b", new Uint8Array(5_000_000))).rejects.toMatchObject({
      detail: { code: "DISK_FULL" },
    });
    await expect(spool.put("a", new Uint8Array(5_000_000))).rejects.toMatchObject({
      detail: { code: "DISK_FULL" },
    });
    expect(readdirSync(join(disk, "spool"))).toEqual(["a"]);
    expect(Buffer.compare((await spool.get("a")) ?? Buffer.alloc(0), bytesNamed("a", 1_000_000))).toBe(0);
    await spool.put("b", new Uint8Array(1_000_000));
  });
});
