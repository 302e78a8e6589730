import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { openLevelMetaStore } from "../../src/adapters/store/index.ts";
import { u32be, utf8 } from "../../src/base/bytes.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { prefixEnd, prefixed } from "../../src/ports/prefixed-meta-store.ts";
import { collect, temporaryDirectory } from "../support/stores.ts";
import { metaStoreContract } from "./meta-store.ts";

function simDisk(): SimDisk {
  return new SimDisk({ clock: new VirtualClock(), rng: new SeededRng("disk"), totalBytes: 2 ** 32 });
}

metaStoreContract("level", async () => {
  const directory = join(temporaryDirectory(), "db");
  const store = await openLevelMetaStore(directory, SILENT_LOG);
  return {
    store,
    async reopen() {
      await store.close();
      return openLevelMetaStore(directory, SILENT_LOG);
    },
  };
});

metaStoreContract("simulated", async () => {
  const data = new SimMetaDisk(simDisk());
  const store = data.open();
  return {
    store,
    async reopen() {
      await store.close();
      return data.open();
    },
  };
});

metaStoreContract("a namespace between two others", async () => {
  const data = new SimMetaDisk(simDisk());
  const neighbours = [Uint8Array.of(0xfe), Uint8Array.of(0xff, 0xff, 1)];
  for (const neighbour of neighbours) {
    const ops = [0, 128, 255].map((n) => ({
      type: "put" as const,
      key: Uint8Array.of(n),
      value: utf8("foreign"),
    }));
    await prefixed(data.open(), neighbour).write(ops, { sync: true });
  }
  const open = () => prefixed(data.open(), Uint8Array.of(0xff, 0xff, 0));
  return { store: open(), reopen: async () => open() };
});

describe("prefixed", () => {
  it("knows where a prefix ends", () => {
    expect(prefixEnd(utf8("ab"))).toEqual(Uint8Array.from(utf8("ac")));
    expect(prefixEnd(Uint8Array.of(1, 0xff))).toEqual(Uint8Array.of(2));
    expect(prefixEnd(Uint8Array.of(0xff))).toBeUndefined();
  });

  it("with a prefix of 0xff reaches to the end", async () => {
    const store = prefixed(new SimMetaDisk(simDisk()).open(), Uint8Array.of(0xff));
    await store.write([{ type: "put", key: Uint8Array.of(0xff, 0xff), value: u32be(1) }], { sync: false });
    expect((await collect(store.scan({}))).length).toBe(1);
  });
});

describe("the simulated MetaStore when the power goes", () => {
  it("loses only unsynced writes, and never one without all later ones", async () => {
    const kept = new Set<number>();
    for (let seed = 0; seed < 60; seed++) {
      const disk = new SimDisk({ clock: new VirtualClock(), rng: new SeededRng(seed), totalBytes: 2 ** 32 });
      const data = new SimMetaDisk(disk);
      const store = data.open();
      for (let n = 0; n < 10; n++) {
        const op = { type: "put" as const, key: u32be(0), value: u32be(n) };
        await store.write([op, { ...op, key: u32be(n + 1) }], { sync: n === 4 });
      }
      disk.losePower();
      const again = data.open();
      const present = (await collect(again.scan({ from: u32be(1) }))).length;
      expect(present).toBeGreaterThanOrEqual(5);
      expect(again.get(u32be(0))).toEqual(u32be(present - 1));
      kept.add(present);
    }
    expect([...kept].sort()).toEqual([10, 5, 6, 7, 8, 9]);
  });
});
