import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SeededRng } from "../../sim/rng.ts";
import { SimShardDisk } from "../../sim/shard-store.ts";
import { openFileShardStore, openLevelMetaStore } from "../../src/adapters/store/index.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { type ShardId, shardIdBytes } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { prefixed } from "../../src/ports/prefixed-meta-store.ts";
import { flipByte } from "../support/shard-files.ts";
import { bytesNamed, shardId, temporaryDirectory } from "../support/stores.ts";
import { SHARD_STORE_CAPACITY_BYTES, shardStoreContract } from "./shard-store.ts";

shardStoreContract("files and level", async () => {
  const home = temporaryDirectory();
  const open = async () => {
    const database = await openLevelMetaStore(join(home, "db"), SILENT_LOG);
    const store = await openFileShardStore({
      directory: join(home, "shards"),
      index: prefixed(database, utf8("shards/")),
      capacityBytes: SHARD_STORE_CAPACITY_BYTES,
      reserve: { bytes: 0, ratio: 0 },
      log: SILENT_LOG,
    });
    const { close } = store;
    store.close = async () => {
      await close.call(store);
      await database.close();
    };
    return store;
  };
  const fileOf = (id: ShardId): string => {
    const prefix = `${id.number.toString(16).padStart(12, "0")}-${id.index}.`;
    const all = readdirSync(join(home, "shards"), { recursive: true, encoding: "utf8" });
    const held = all.filter((path) => !path.startsWith("quarantine/"));
    return join(home, "shards", held.find((path) => path.includes(`/${prefix}`)) ?? "");
  };
  const store = await open();
  return {
    store,
    async reopen() {
      await store.close();
      return open();
    },
    loseFile: async (id) => unlinkSync(fileOf(id)),
    truncateFile: async (id, bytes) => truncateSync(fileOf(id), bytes),
    // As when a disk is not mounted: the folder is there, and empty.
    pullOut: async () => {
      renameSync(join(home, "shards"), join(home, "elsewhere"));
      mkdirSync(join(home, "shards"));
    },
    plugIn: async () => {
      rmSync(join(home, "shards"), { recursive: true });
      renameSync(join(home, "elsewhere"), join(home, "shards"));
    },
  };
});

function simShards(seed: string): { disk: SimDisk; data: SimShardDisk; clock: VirtualClock } {
  const clock = new VirtualClock();
  const disk = new SimDisk({ clock, rng: new SeededRng(seed), totalBytes: 2 ** 32 });
  return { clock, disk, data: new SimShardDisk(disk, { capacityBytes: SHARD_STORE_CAPACITY_BYTES }) };
}

shardStoreContract("simulated", async () => {
  const { data } = simShards("contract");
  const store = data.open();
  return {
    store,
    async reopen() {
      await store.close();
      return data.open();
    },
    loseFile: async (id) => {
      data.loseFile(id);
    },
    truncateFile: async (id, bytes) => {
      data.truncate(id, bytes);
    },
    pullOut: async () => {
      data.pulledOut = "pulled out";
    },
    plugIn: async () => {
      data.pulledOut = undefined;
    },
  };
});

describe("the ShardStore on files", () => {
  it("sees a trailer that rotted, and goes on in the folder that it moved with", async () => {
    const home = temporaryDirectory();
    const directory = join(home, "shards");
    const database = await openLevelMetaStore(join(home, "db"), SILENT_LOG);
    const open = () =>
      openFileShardStore({
        directory,
        index: prefixed(database, utf8("shards/")),
        capacityBytes: SHARD_STORE_CAPACITY_BYTES,
        reserve: { bytes: 0, ratio: 0 },
        log: SILENT_LOG,
      });
    const store = await open();
    await store.put(shardId(1), bytesNamed("a", 5_000), utf8("note"));
    const { file = "", bytes = 0 } = store.locate(shardId(1)) ?? {};
    flipByte(file, bytes + 2);
    expect(await store.isSound(shardId(1))).toBe(false);
    const { version = "" } = store.stat(shardId(1)) ?? {};
    await store.quarantine(shardId(1), version, { reason: "trailer", timeMs: 0 });
    await store.close();
    const aside = file.replace(directory, join(directory, "quarantine"));
    expect(existsSync(file)).toBe(false);
    expect(readFileSync(aside).subarray(0, 5_000)).toEqual(Buffer.from(bytesNamed("a", 5_000)));
    expect(JSON.parse(readFileSync(`${aside}.why`, "utf8"))).toMatchObject({ v: 1, reason: "trailer" });
    // An index that lost its entry learns of the file again; nothing in the quarantine is deleted first.
    await prefixed(database, utf8("shards/")).write(
      [{ type: "delete", key: Uint8Array.of(3, ...shardIdBytes(shardId(1))) }],
      { sync: true },
    );
    const again = await open();
    expect(again.stat(shardId(1))).toBeUndefined();
    expect(await again.quarantined(undefined, 10)).toMatchObject([{ id: shardId(1), sinceMs: 0 }]);
    expect(existsSync(aside)).toBe(true);
    await again.dropQuarantined(shardId(1));
    expect([aside, `${aside}.why`].map((path) => existsSync(path))).toEqual([false, false]);
    await again.close();
    await database.close();
  });
});

describe("the simulated ShardStore when the power goes", () => {
  it("keeps what was acknowledged; a put under way is whole or absent", async () => {
    const found = new Set<boolean>();
    for (let seed = 0; seed < 20; seed++) {
      const clock = new VirtualClock();
      const disk = new SimDisk({ clock, rng: new SeededRng(seed), totalBytes: 2 ** 32, syncMs: 10 });
      const data = new SimShardDisk(disk, { capacityBytes: 2 ** 30 });
      const store = data.open();
      await clock.until(store.put(shardId(1), bytesNamed("1", 100), utf8("n")), 1_000);
      let resolved = false;
      void store.put(shardId(2), bytesNamed("2", 100), utf8("n")).then(() => {
        resolved = true;
      });
      await clock.advance(5);
      disk.losePower();
      await clock.advance(1_000);
      expect(resolved).toBe(false);
      const again = data.open();
      const read = (n: number) => clock.until(again.read(shardId(n), 0, 1_000), 1_000);
      expect(await read(1)).toEqual(bytesNamed("1", 100));
      const second = await read(2);
      if (second !== undefined) expect(second).toEqual(bytesNamed("2", 100));
      found.add(second !== undefined);
    }
    expect(found.size).toBe(2);
  });
});
