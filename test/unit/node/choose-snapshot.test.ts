import { describe, expect, it } from "vitest";
import { isFault } from "../../../src/base/fault.ts";
import { bytePathOf, pathBytes } from "../../../src/base/paths.ts";
import type { SnapshotEntry } from "../../../src/catalog/index.ts";
import { chooseSnapshot } from "../../../src/node/choose-snapshot.ts";

function entry(
  sequence: number,
  timeMs: number,
  tags: string[] = [],
  path = "/srv",
  host = "h",
): SnapshotEntry {
  const id = new Uint8Array(32).fill(sequence);
  return {
    ...{ id, sequence, timeMs, host, paths: [pathBytes(bytePathOf(path))], tags },
    ...{ files: 1, directories: 1, bytes: 1, partial: false },
    manifest: {
      ...{ id, incarnation: 0, class: 0, segment: 0, frame: 0, offset: 0 },
      ...{ sealedBytes: 1, rawBytes: 1, compressed: false },
    },
  };
}

const ENTRIES = [entry(1, 1000), entry(2, 2000, ["nightly"]), entry(3, 3000, [], "/etc"), entry(4, 500)];
const chosen = (choice: Parameters<typeof chooseSnapshot>[1]): number =>
  chooseSnapshot(ENTRIES, choice).sequence;

describe("the snapshot that is meant", () => {
  it("latest goes by sequence; at a time, it is the newest of that time or before", () => {
    expect(chosen({ snapshot: "latest" })).toBe(4);
    expect(chosen({ snapshot: "latest", atMs: 2999 })).toBe(2);
    expect(chosen({ snapshot: "latest", atMs: 3000 })).toBe(3);
    expect(chosen({ snapshot: "latest", atMs: 1e9 })).toBe(3);
    expect(chosen({ snapshot: "latest", atMs: 999 })).toBe(4);
  });

  it("tags and paths narrow before the time does", () => {
    expect(chosen({ snapshot: "latest", tags: ["nightly"], atMs: 1e9 })).toBe(2);
    expect(chosen({ snapshot: "latest", paths: [bytePathOf("/srv")], atMs: 3500 })).toBe(2);
  });

  it("of two with the same time the later one", () => {
    expect(chooseSnapshot([entry(1, 7), entry(2, 7)], { snapshot: "latest", atMs: 7 }).sequence).toBe(2);
  });

  it("none that is so old: says so, and how old the oldest is", () => {
    const thrown = (choice: Parameters<typeof chooseSnapshot>[1]): unknown => {
      try {
        return chooseSnapshot(ENTRIES, choice);
      } catch (error) {
        return isFault(error, "SNAPSHOT_UNKNOWN") ? error.detail : error;
      }
    };
    expect(thrown({ snapshot: "latest", atMs: 499 })).toEqual({
      ...{ code: "SNAPSHOT_UNKNOWN", asked: "latest" },
      at: { askedMs: 499, oldestMs: 500 },
    });
    expect(thrown({ snapshot: "latest", tags: ["none"], atMs: 9999 })).toEqual({
      ...{ code: "SNAPSHOT_UNKNOWN", asked: "latest" },
      at: { askedMs: 9999 },
    });
  });

  it("of a machine and a path: what has it or what it is in; which machines there are is said where there is none", () => {
    const entries = [
      entry(1, 1000, [], "/srv", "till-3"),
      entry(2, 2000, [], "/srv/shop", "till-3"),
      entry(3, 3000, [], "/srv", "office"),
      entry(4, 4000, [], "/srv/shop-old", "till-3"),
    ];
    const of = (host: string, path?: string, atMs?: number): number =>
      chooseSnapshot(entries, {
        snapshot: "latest",
        source: { host, ...(path === undefined ? {} : { path: bytePathOf(path) }) },
        atMs,
      }).sequence;
    expect(of("till-3")).toBe(4);
    expect(of("Till-3", "/srv/shop")).toBe(2);
    expect(of("till-3", "/srv/shop/bread")).toBe(2);
    expect(of("till-3", "/srv/shop/bread", 1500)).toBe(1);
    expect(of("till-3", "/srv")).toBe(1);
    expect(() => of("till-4", "/srv")).toThrow(/of till-4:\/srv; there are some of office, till-3\./);
    expect(() => of("office", "/etc")).toThrow(/of office:\/etc/);
    expect(() => of("till-3", "/srv", 500)).toThrow(/of 1970-01-01/);
  });
});
