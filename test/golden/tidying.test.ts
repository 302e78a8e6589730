import { expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
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
