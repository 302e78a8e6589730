import { expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { CaptureBook } from "../../src/node/captures.ts";
import { leavingRecord } from "../../src/node/leaving.ts";
import { TidyRecords } from "../../src/schedule/index.ts";
import { collect } from "../support/stores.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("what tidying did last is written as it was, and read again", async () => {
  const disk = new SimDisk({ clock: new VirtualClock(), rng: new SeededRng("golden"), totalBytes: 2 ** 30 });
  const store = new SimMetaDisk(disk).open();
  const times = { startedMs: AT_MS, endedMs: AT_MS + 5000 };
  const state = {
    forget: { ...times, failures: 0, kept: 12, forgotten: 3, held: "the clock is off" },
    prune: { ...times, failures: 2, reason: "too few peers", segments: 0, bytes: 0 },
    forgotten: 3,
  };
  await TidyRecords.open(store).save(state);
  const rows = (await collect(store.scan({}))).map(([key, value]) => [hex(key), hex(value)]);
  expect(rows).toEqual(goldenJson("v1/schedule/tidying.json", rows));
  expect(TidyRecords.open(store).state).toEqual(state);
});

it("what snapshots of some paths usually capture is written as it was, and read again", async () => {
  const disk = new SimDisk({ clock: new VirtualClock(), rng: new SeededRng("golden"), totalBytes: 2 ** 30 });
  const store = new SimMetaDisk(disk).open();
  const shop = { tags: ["set:shop", "daily"], paths: [utf8("/srv")], timeMs: AT_MS };
  const first = { files: 10, bytes: 1000, bytesNew: 1000, bytesPacked: 400 };
  const second = { files: 11, bytes: 1100, bytesNew: 100, bytesPacked: 50 };
  await new CaptureBook(store).add(shop, first);
  await new CaptureBook(store).add({ ...shop, timeMs: AT_MS + 1 }, second);
  const rows = (await collect(store.scan({}))).map(([key, value]) => [hex(key), hex(value)]);
  expect(rows).toEqual(goldenJson("v1/schedule/captures.json", rows));
  expect(new CaptureBook(store).of(shop)).toEqual([first, second]);
  expect(new CaptureBook(store).of({ ...shop, paths: [utf8("/etc")] })).toEqual([]);
});

it("what was given up and is still held is the pinned bytes", () => {
  const encoded = { leaving: hex(leavingRecord.encode({ v: 1, entries: [{ timeMs: AT_MS, bytes: 2 ** 40 }] })) };
  expect(encoded).toEqual(goldenJson("v1/schedule/leaving.json", encoded));
});
