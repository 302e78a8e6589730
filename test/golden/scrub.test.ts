import { expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SimDisk } from "../../sim/disk.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { SeededRng } from "../../sim/rng.ts";
import { decodeQuarantine, encodeQuarantine, quarantineKey } from "../../src/adapters/store/shard-codec.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { shardIdBytes } from "../../src/base/ids.ts";
import { loadState, type ScrubState, saveState } from "../../src/scrub/state.ts";
import { collect, shardId } from "../support/stores.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("the entry of a shard in quarantine is as it was", () => {
  const entry = {
    version: { generation: 3, nonce: 0xa0b0c0d },
    bytes: 5000,
    keptBytes: 4999,
    sinceMs: AT_MS,
    reason: "truncated: 4999 of 5000 bytes",
    note: utf8("note"),
  };
  const value = encodeQuarantine(entry);
  const found = { key: hex(quarantineKey(shardId(5, 2))), value: hex(value) };
  expect(found).toEqual(goldenJson("v1/scrub/quarantine.json", found));
  const decoded = decodeQuarantine(value);
  expect({ ...decoded, note: hex(decoded.note) }).toEqual({ ...entry, note: hex(entry.note) });
});

it("where a scrub stands is written as it was, and read again", async () => {
  const counts = { scanned: 10, bytes: 50_000, corrupt: 2, quarantined: 1 };
  const [origin, after] = [shardIdBytes(shardId(5, 2)), shardIdBytes(shardId(9, 1))];
  const state: ScrubState = {
    v: 1,
    running: true,
    paused: false,
    sinceMs: AT_MS - 5000,
    round: { number: 7, startedMs: AT_MS, origin, after, wrapped: false, complete: false, ...counts },
    marks: [{ at: after, timeMs: AT_MS + 5 }],
    earlier: [{ at: origin, timeMs: AT_MS - 1000 }],
    last: { number: 6, startedMs: AT_MS - 1000, endedMs: AT_MS - 1, ...counts },
  };
  const rng = new SeededRng("golden");
  const disk = new SimDisk({ clock: new VirtualClock(), rng, totalBytes: 2 ** 30 });
  const store = new SimMetaDisk(disk).open();
  await saveState(store, state, true);
  const rows = (await collect(store.scan({}))).map(([key, value]) => [hex(key), hex(value)]);
  expect(rows).toEqual(goldenJson("v1/scrub/state.json", rows));
  const loaded = loadState(store);
  await saveState(store, loaded ?? state, true);
  expect(loaded?.round).toMatchObject({ number: 7, scanned: 10, wrapped: false });
  expect((await collect(store.scan({}))).map(([key, value]) => [hex(key), hex(value)])).toEqual(rows);
  // What cannot be read is no loss.
  await store.write([{ type: "put", key: utf8("state"), value: utf8("?") }], { sync: true });
  expect(loadState(store)).toBeUndefined();
});
