import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { type FileOps, openFileShardStore } from "../../src/adapters/store/index.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { Fault, isFault } from "../../src/base/fault.ts";
import { type ShardId, shardKey } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import type { MetaStore } from "../../src/ports/meta-store.ts";
import { PowerFailFiles, type PowerLoss } from "../support/power-fail-files.ts";
import { bytesNamed, shardId } from "../support/stores.ts";

const SHARD_BYTES = 5_000;

/** One machine: files and index lose their power together. */
class Machine {
  readonly files = new PowerFailFiles();
  readonly #disk: SimDisk;
  readonly index: SimMetaDisk;
  readonly #rng: SeededRng;

  constructor(seed: string) {
    this.#rng = new SeededRng(seed);
    this.#disk = new SimDisk({ clock: new VirtualClock(), rng: this.#rng.fork("disk"), totalBytes: 2 ** 40 });
    this.index = new SimMetaDisk(this.#disk);
  }

  losePower(how: PowerLoss): void {
    this.#disk.losePower();
    this.files.losePower(how, this.#rng);
  }

  loseIndex(): void {
    this.index.wipe();
  }

  async openStore(step: (operation: string) => Promise<void> = async () => {}, files?: FileOps) {
    return openFileShardStore({
      directory: "/shards",
      index: stepping(this.index.open(), step),
      capacityBytes: 2 ** 30,
      reserve: { bytes: 0, ratio: 0 },
      log: SILENT_LOG,
      files: files ?? this.files.open(step),
      nonce: () => this.#rng.below(2 ** 32),
    });
  }
}

function stepping(store: MetaStore, step: (operation: string) => Promise<void>): MetaStore {
  return {
    get: (key) => store.get(key),
    scan: (range) => store.scan(range),
    close: () => store.close(),
    async write(ops, options) {
      const operation = `index${options.sync ? " sync" : ""}`;
      await step(`before ${operation}`);
      await store.write(ops, options);
      await step(`after ${operation}`);
    },
  };
}

/** What may be found of each shard: `undefined` for absent. A new possibility opens when an operation begins. */
class Expectation {
  readonly possible = new Map<string, Set<string | undefined>>();

  async during(id: ShardId, becomes: string | undefined, operation: () => Promise<void>): Promise<void> {
    const key = shardKey(id);
    const before = this.possible.get(key) ?? new Set([undefined]);
    this.possible.set(key, new Set([...before, becomes]));
    await operation();
    this.possible.set(key, new Set([becomes]));
  }
}

async function workload(machine: Machine, expected: Expectation, step: (op: string) => Promise<void>) {
  const store = await machine.openStore(step);
  const put = (n: number, name: string) =>
    expected.during(shardId(n), name, () =>
      store.put(shardId(n), bytesNamed(name, SHARD_BYTES), utf8(`note of ${name}`)),
    );
  const remove = (n: number) => expected.during(shardId(n), undefined, () => store.delete(shardId(n)));
  await put(1, "1a");
  await Promise.all([put(2, "2a"), put(5_000, "5000a"), put(3, "3a")]);
  await put(1, "1b");
  await Promise.all([remove(2), put(3, "3b")]);
  await put(2, "2b");
  await remove(1);
  await put(4, "4a");
  await expected.during(shardId(4), undefined, async () => {
    const { version = "" } = store.stat(shardId(4)) ?? {};
    await store.quarantine(shardId(4), version, { reason: "4a", timeMs: 4 });
  });
  await put(4, "4b");
}

/** Files of shards that the store should answer for. */
function heldFiles(machine: Machine): string[] {
  return machine.files.paths().filter((path) => !/^\/shards\/(quarantine\/|store-id)/.test(path));
}

async function found(machine: Machine): Promise<Map<string, string | undefined>> {
  const store = await machine.openStore();
  const out = new Map<string, string | undefined>();
  for (const n of [1, 2, 3, 4, 5_000]) {
    const stat = store.stat(shardId(n));
    const bytes = await store.read(shardId(n), 0, 2 * SHARD_BYTES);
    if (stat === undefined) {
      expect(bytes).toBeUndefined();
      out.set(shardKey(shardId(n)), undefined);
      continue;
    }
    const name = Buffer.from(stat.note).toString().replace("note of ", "");
    // Bytes and note belong together, whichever they are.
    expect(Buffer.compare(bytes ?? Buffer.alloc(0), bytesNamed(name, SHARD_BYTES))).toBe(0);
    out.set(shardKey(shardId(n)), name);
  }
  const listed = await store.list(undefined, 100);
  expect(listed.length).toBe([...out.values()].filter((name) => name !== undefined).length);
  // No more is on disk, and no more is counted, than what is held.
  expect(heldFiles(machine).length).toBe(listed.length);
  const aside = await store.quarantined(undefined, 10);
  const { usedBytes } = await store.space();
  expect(usedBytes).toBeLessThanOrEqual((listed.length + 1.5 * aside.length) * 10_000);
  expect(usedBytes).toBeGreaterThanOrEqual((listed.length + aside.length) * SHARD_BYTES);
  // What was taken out of service is there whole, and is the only thing that is.
  const kept = machine.files.paths().filter((path) => /quarantine.*[0-9a-f]$/.test(path));
  expect(kept.map((path) => machine.files.contents(path)?.slice(0, SHARD_BYTES))).toEqual(
    aside.map(() => new Uint8Array(bytesNamed("4a", SHARD_BYTES))),
  );
  await store.close();
  return out;
}

describe("the shard store when the power goes, at every point of a history", () => {
  it.each<PowerLoss>(["loses-all", "keeps-all", "tears"])("on a disk that %s", async (how) => {
    let points = 0;
    for (let finished = false; !finished; points++) {
      const machine = new Machine(`${how} ${points}`);
      const expected = new Expectation();
      let steps = 0;
      let off: () => void = () => {};
      const powerGoes = new Promise<boolean>((resolve) => {
        off = () => resolve(false);
      });
      const step = async (): Promise<void> => {
        if (steps++ < points) return;
        off();
        await new Promise<never>(() => {});
      };
      finished = await Promise.race([workload(machine, expected, step).then(() => true), powerGoes]);
      machine.losePower(how);
      for (const round of ["first", "second"]) {
        // The second opening has the first one's repairs before it, and the power fails again between them.
        for (const [key, name] of await found(machine)) {
          const allowed = expected.possible.get(key) ?? new Set([undefined]);
          expect({ points, round, key, name, allowed: allowed.has(name) }).toEqual({
            points,
            round,
            key,
            name,
            allowed: true,
          });
          expected.possible.set(key, new Set([name]));
        }
        machine.losePower(how);
      }
    }
    expect(points).toBeGreaterThan(80);
  });

  it("an index that was lost is made anew from the files, before the store is open", async () => {
    const machine = new Machine("lost index");
    const expected = new Expectation();
    await workload(machine, expected, async () => {});
    machine.losePower("keeps-all");
    machine.loseIndex();
    for (const [key, name] of await found(machine)) {
      expect([...(expected.possible.get(key) ?? [])]).toEqual([name]);
    }
  });

  it("an index that is older than the files learns what they know", async () => {
    const machine = new Machine("old index");
    const store = await machine.openStore();
    await store.put(shardId(1), bytesNamed("1a", SHARD_BYTES), utf8("note of 1a"));
    const old = new Machine("backup");
    await store.close();
    const backup = old.index.open();
    for await (const [key, value] of machine.index.open().scan({})) {
      await backup.write([{ type: "put", key, value }], { sync: true });
    }
    const later = await machine.openStore();
    await later.put(shardId(1), bytesNamed("1b", SHARD_BYTES), utf8("note of 1b"));
    await later.put(shardId(2), bytesNamed("2a", SHARD_BYTES), utf8("note of 2a"));
    await later.close();
    const restored = await old.openStore(undefined, machine.files.open());
    expect(Buffer.from(restored.stat(shardId(1))?.note ?? []).toString()).toBe("note of 1b");
    expect(Buffer.from(restored.stat(shardId(2))?.note ?? []).toString()).toBe("note of 2a");
    expect(await restored.recovered).toMatchObject({ adopted: 2, removed: 0 });
    await restored.close();
  });
});

describe("a receipt", () => {
  it("is given after contents, name and index entry are synced, in that order", async () => {
    const machine = new Machine("order");
    const operations: string[] = [];
    const store = await machine.openStore(async (operation) => {
      operations.push(operation);
    });
    operations.length = 0;
    await store.put(shardId(1), bytesNamed("1", SHARD_BYTES), utf8("n"));
    operations.push("resolved");
    const done = operations.filter((operation) => !operation.startsWith("before"));
    const at = (pattern: RegExp, from = 0) => {
      const index = done.findIndex((operation, n) => n >= from && pattern.test(operation));
      expect({ pattern, found: index >= 0 }).toEqual({ pattern, found: true });
      return index;
    };
    const write = at(/^after write .*\.tmp$/);
    const sync = at(/^after sync .*\.tmp$/, write + 1);
    const rename = at(/^after rename .*\.tmp /, sync + 1);
    const syncDirectory = at(/^after syncdir .*\/000000000$/, rename + 1);
    const index = at(/^after index sync$/, syncDirectory + 1);
    expect(at(/^resolved$/)).toBeGreaterThan(index);
    // Directories that were made have their names synced too, before the file is.
    expect(done.filter((operation) => operation.startsWith("after syncdir")).length).toBe(4);
    await store.close();
  });

  it("many puts at once share directory syncs", async () => {
    const machine = new Machine("shared");
    let directorySyncs = 0;
    const store = await machine.openStore(async (operation) => {
      if (operation.startsWith("before syncdir")) directorySyncs++;
    });
    await store.put(shardId(0), bytesNamed("0", 10), utf8("n"));
    directorySyncs = 0;
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => store.put(shardId(n + 1), bytesNamed(`${n}`, 10), utf8("n"))),
    );
    expect(directorySyncs).toBeLessThan(25);
    await store.close();
  });
});

describe("a file that cannot be removed", () => {
  const refusing = (files: FileOps): FileOps => ({
    ...files,
    remove: () => Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" })),
  });

  it("does not come back after its shard was deleted, nor take a later one's place", async () => {
    const machine = new Machine("stubborn");
    const store = await machine.openStore(undefined, refusing(machine.files.open()));
    const put = (n: number, name: string) =>
      store.put(shardId(n), bytesNamed(name, SHARD_BYTES), utf8(`note of ${name}`));
    for (const n of [1, 2]) {
      await put(n, `${n}a`);
      await put(n, `${n}b`);
      await store.delete(shardId(n));
      expect(store.stat(shardId(n))).toBeUndefined();
    }
    await put(2, "2c");
    await store.close();
    expect(heldFiles(machine).length).toBe(5);
    const names = await found(machine);
    expect(names.get(shardKey(shardId(1)))).toBeUndefined();
    expect(names.get(shardKey(shardId(2)))).toBe("2c");
  });
});

describe("a read", () => {
  it("that meets a replacement between index and file gives the new bytes", async () => {
    const machine = new Machine("read");
    let meet: () => Promise<void> = async () => {};
    const store = await machine.openStore(async (operation) => {
      if (operation.startsWith("before read")) await meet();
    });
    await store.put(shardId(1), bytesNamed("a", 100), utf8("a"));
    meet = async () => {
      meet = async () => {};
      await store.put(shardId(1), bytesNamed("b", 100), utf8("b"));
    };
    expect(await store.read(shardId(1), 0, 100)).toEqual(bytesNamed("b", 100));
    await store.close();
  });
});

describe("an index that fails", () => {
  it.each([
    ["was kept", true],
    ["was not kept", false],
  ])("leaves a put in doubt until it works again; its entry %s", async (_, kept) => {
    const machine = new Machine(`doubt ${kept}`);
    const real = machine.index.open();
    let failing = false;
    const index: MetaStore = {
      ...stepping(real, async () => {}),
      async write(ops, options) {
        if (failing && kept && ops.some((op) => op.type === "put")) await real.write(ops, options);
        if (failing) throw new Fault({ code: "DISK_FULL", where: "index" });
        await real.write(ops, options);
      },
    };
    const store = await openFileShardStore({
      directory: "/shards",
      index,
      capacityBytes: 100_000,
      reserve: { bytes: 0, ratio: 0 },
      log: SILENT_LOG,
      files: machine.files.open(),
    });
    const put = (n: number, name: string) => store.put(shardId(n), bytesNamed(name, SHARD_BYTES), utf8(name));
    await put(1, "1a");
    const before = (await store.space()).usedBytes;
    failing = true;
    const attempts = await Promise.allSettled([put(1, "1b"), put(1, "1c"), put(2, "2a"), put(3, "3a")]);
    expect(attempts.map((one) => one.status)).toEqual(Array(4).fill("rejected"));
    for (const one of attempts)
      expect(one.status === "rejected" && isFault(one.reason, "DISK_FULL")).toBe(true);
    await expect(put(4, "4a")).rejects.toThrow(Fault);
    failing = false;
    await put(4, "4a");
    const held = (await store.list(undefined, 10)).map(({ id, note }) => [
      id.number,
      Buffer.from(note).toString(),
    ]);
    expect(held).toEqual(
      kept
        ? [
            [1, "1b"],
            [2, "2a"],
            [3, "3a"],
            [4, "4a"],
          ]
        : [
            [1, "1a"],
            [4, "4a"],
          ],
    );
    expect(heldFiles(machine).length).toBe(held.length);
    expect((await store.space()).usedBytes).toBe(before * held.length);
    for (const [n, name] of held) {
      const bytes = await store.read(shardId(Number(n)), 0, SHARD_BYTES);
      expect(Buffer.compare(bytes ?? Buffer.alloc(0), bytesNamed(String(name), SHARD_BYTES))).toBe(0);
    }
    await store.close();
  });
});

describe("the room", () => {
  it("keeps the reserve of the file system, and refuses before a byte is written", async () => {
    const machine = new Machine("room");
    machine.files.totalBytes = 1_000_000;
    machine.files.freeBytes = 120_000;
    let writes = 0;
    const store = await openFileShardStore({
      directory: "/shards",
      index: machine.index.open(),
      capacityBytes: 10_000_000,
      reserve: { bytes: 10_000, ratio: 0.1 },
      log: SILENT_LOG,
      files: machine.files.open(async (operation) => {
        if (operation.startsWith("before create")) writes++;
      }),
    });
    writes = 0;
    expect((await store.space()).freeBytes).toBe(20_000);
    await expect(store.put(shardId(1), new Uint8Array(21_000), utf8("n"))).rejects.toMatchObject({
      detail: { code: "DISK_FULL", freeBytes: 20_000 },
    });
    expect(writes).toBe(0);
    // Two that fit alone but not together: the second must not count on what the first has yet to write.
    const both = await Promise.allSettled(
      [1, 2].map((n) => store.put(shardId(n), new Uint8Array(11_000), utf8("n"))),
    );
    expect(both.map((one) => one.status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(writes).toBe(1);
    await store.close();
  });
});
