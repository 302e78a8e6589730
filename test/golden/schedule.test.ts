import { expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { RunRecords } from "../../src/schedule/index.ts";
import { collect } from "../support/stores.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("the newest try of a set is written as it was, and read again", async () => {
  const disk = new SimDisk({ clock: new VirtualClock(), rng: new SeededRng("golden"), totalBytes: 2 ** 30 });
  const store = new SimMetaDisk(disk).open();
  const records = await RunRecords.open(store);
  const done = {
    ...{ startedMs: AT_MS, endedMs: AT_MS + 5000, failures: 0, unreadable: 3 },
    snapshot: new Uint8Array(32).fill(7),
  };
  const failed = { startedMs: AT_MS, endedMs: AT_MS + 1, failures: 2, unreadable: 0, reason: "The spool is full." };
  await records.save("shop", done);
  await records.save("office", failed);
  const rows = (await collect(store.scan({}))).map(([key, value]) => [hex(key), hex(value)]);
  expect(rows).toEqual(goldenJson("v1/schedule/runs.json", rows));
  const again = await RunRecords.open(store);
  expect(again.of("shop")).toEqual(done);
  expect(again.of("office")).toEqual(failed);
});
