import { createHash, createHmac } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import { chunkEnds, createChunker } from "../../../src/chunking/index.ts";
import { ingestFiles, WINDOW_BYTES } from "../../../src/compute/index.ts";
import type { IngestJob, IngestKeys, IngestPiece, IngestResult } from "../../../src/ports/compute.ts";
import { contentOf, type Extent, type FakeFile, fakeOpener, statOf } from "./fake-files.ts";

const keys: IngestKeys = {
  chunkIdKey: new Uint8Array(32).fill(1),
  gearKey: new Uint8Array(32).fill(2),
  sizes: { minBytes: 1024, averageBytes: 4096, maxBytes: 16384 },
};
const bigKeys: IngestKeys = {
  ...keys,
  sizes: { minBytes: 256 * 1024, averageBytes: 1024 * 1024, maxBytes: 4 * 1024 * 1024 },
};

function noise(length: number, seed = "x"): Uint8Array {
  const out = new Uint8Array(length);
  let block = createHash("sha512").update(seed).digest();
  for (let at = 0; at < length; at += block.length) {
    block = createHash("sha512").update(block).digest();
    out.set(block.subarray(0, Math.min(block.length, length - at)), at);
  }
  return out;
}

const jobFor = (name: string, file: FakeFile, offset = 0): IngestJob => ({
  path: bytePathOf(name),
  expected: statOf(file),
  offset,
});

function ingestOne(file: FakeFile, options: { keys?: IngestKeys; job?: Partial<IngestJob> } = {}) {
  const { opener, counts } = fakeOpener({ f: file });
  const job = { ...jobFor("f", file), ...options.job };
  const [result] = ingestFiles([job], options.keys ?? keys, opener);
  return { result: must(result, "result"), counts };
}

/** Window after window, as a snapshot does it. */
function ingestWhole(file: FakeFile, withKeys = keys) {
  const { opener } = fakeOpener({ f: file });
  const windows: IngestResult[] = [];
  for (let offset: number | undefined = 0; offset !== undefined; ) {
    const [window] = ingestFiles([jobFor("f", file, offset)], withKeys, opener);
    windows.push(must(window, "window"));
    offset = windows.at(-1)?.nextOffset;
  }
  return windows;
}

function rawOf(piece: IngestPiece): Uint8Array {
  if (piece.kind === "hole") return new Uint8Array(piece.bytes);
  const raw = piece.compressed ? zstdDecompressSync(piece.stored) : piece.stored;
  expect(raw.length).toBe(piece.rawBytes);
  const id = createHmac("sha256", keys.chunkIdKey).update(raw).digest();
  expect(Buffer.compare(piece.id, id)).toBe(0);
  return raw;
}

const joined = (pieces: readonly IngestPiece[]) => Buffer.concat(pieces.map(rawOf));
const endsOf = (pieces: readonly IngestPiece[]) => {
  let at = 0;
  return pieces.map((piece) => (at += piece.kind === "hole" ? piece.bytes : piece.rawBytes));
};

describe("ingestFiles", () => {
  it("gives no pieces for an empty file", () => {
    const { result, counts } = ingestOne({ extents: [] });
    expect(result).toEqual({ pieces: [], nextOffset: undefined, bytesRead: 0 });
    expect(counts).toMatchObject({ opened: 1, closed: 1 });
  });

  it("makes one chunk of a file below the shortest chunk", () => {
    const { result } = ingestOne({ extents: [{ data: noise(100) }] });
    expect(result.pieces).toHaveLength(1);
    expect(joined(result.pieces).equals(noise(100))).toBe(true);
    expect(result).toMatchObject({ nextOffset: undefined, bytesRead: 100 });
    expect(result).not.toHaveProperty("changedTo");
  });

  it("compresses what gets smaller and keeps the rest as it is", () => {
    const { result } = ingestOne({ extents: [{ data: new Uint8Array(900).fill(7) }] });
    expect(result.pieces[0]).toMatchObject({ kind: "chunk", compressed: true });
    const random = ingestOne({ extents: [{ data: noise(900) }] }).result;
    expect(random.pieces[0]).toMatchObject({ kind: "chunk", compressed: false });
  });

  it("cuts as if the file were in memory as a whole, however many windows it takes", () => {
    const data = noise(2.7 * WINDOW_BYTES);
    const windows = ingestWhole({ extents: [{ data }] }, bigKeys);
    const pieces = windows.flatMap((window) => window.pieces);
    expect(windows.length).toBeGreaterThan(2);
    expect(endsOf(pieces)).toEqual(chunkEnds(createChunker(keys.gearKey, bigKeys.sizes), data));
    expect(joined(pieces).equals(data)).toBe(true);
    expect(windows.reduce((sum, window) => sum + window.bytesRead, 0)).toBe(data.length);
  });

  it("reads no more than a window, and goes on at a chunk boundary", () => {
    const data = noise(WINDOW_BYTES + 1);
    const { result } = ingestOne({ extents: [{ data }] }, { keys: bigKeys });
    expect(result.nextOffset).toBe(result.bytesRead);
    expect(result.bytesRead).toBeLessThanOrEqual(WINDOW_BYTES);
    const rest = ingestOne({ extents: [{ data }] }, { keys: bigKeys, job: { offset: result.bytesRead } });
    expect(rest.result.nextOffset).toBeUndefined();
    expect(joined([...result.pieces, ...rest.result.pieces]).equals(data)).toBe(true);
  });

  it("gives holes as pieces of their own, and lets chunks end before them", () => {
    const extents: Extent[] = [
      { hole: 10_000_000_000 },
      { data: noise(3000, "a") },
      { hole: 512 },
      { data: noise(100, "b") },
      { hole: 7_000_000 },
    ];
    const file = { extents, stat: { size: 10_007_003_612 } };
    const { opener } = fakeOpener({});
    const sparse = {
      ...opener,
      open: () => {
        const real = fakeOpener({ f: { extents: extents.slice(1) } }).opener.open(bytePathOf("f"));
        const base = 10_000_000_000;
        const shifted = (at: number | undefined) => (at === undefined ? undefined : at + base);
        return {
          ...real,
          stat: () => statOf(file),
          read: (offset: number, into: Uint8Array) => real.read(offset - base, into),
          nextData: (offset: number) => shifted(real.nextData(Math.max(0, offset - base))),
          nextHole: (offset: number) => (offset < base ? offset : real.nextHole(offset - base) + base),
        };
      },
    };
    const [result] = ingestFiles([jobFor("f", file)], keys, sparse);
    const pieces = must(result, "result").pieces;
    const holes = pieces.filter((piece) => piece.kind === "hole").map((piece) => piece.bytes);
    expect(holes).toEqual([10_000_000_000, 512, 7_000_000]);
    expect(endsOf(pieces)).toContain(10_000_003_000);
    expect(result).toMatchObject({ nextOffset: undefined, bytesRead: 3100 });
  });

  it("gives back what it read, for drawn files with holes, window by window", () => {
    const extent = fc.oneof(
      fc.integer({ min: 1, max: 9000 }).map((length): Extent => ({ data: noise(length, `${length}`) })),
      fc.integer({ min: 512, max: 9000 }).map((hole): Extent => ({ hole })),
    );
    fc.assert(
      fc.property(fc.array(extent, { maxLength: 12 }), (extents) => {
        const windows = ingestWhole({ extents, stat: { blocks: 0 } });
        expect(joined(windows.flatMap((window) => window.pieces)).equals(contentOf(extents))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("bounds the pieces of one window", () => {
    const extents = Array.from({ length: 1200 }, (_, i): Extent[] => [
      { data: noise(8, `${i}`) },
      { hole: 512 },
    ]);
    const windows = ingestWhole({ extents: extents.flat(), stat: { blocks: 0 } });
    expect(windows.length).toBeGreaterThan(1);
    for (const window of windows) expect(window.pieces.length).toBeLessThan(1100);
    const pieces = windows.flatMap((window) => window.pieces);
    expect(joined(pieces).equals(contentOf(extents.flat()))).toBe(true);
  }, 60_000);

  it("asks for holes only where blocks are missing", () => {
    const data = noise(5000);
    expect(ingestOne({ extents: [{ data }] }).counts.questions).toBe(0);
    expect(ingestOne({ extents: [{ data }], stat: { blocks: 1 } }).counts.questions).toBeGreaterThan(0);
  });
});

describe("ingestFiles, a file that changes", () => {
  it("is reported when it is not the expected one, and read all the same", () => {
    const file = { extents: [{ data: noise(500) }] };
    const changes = [{ size: 499 }, { mtimeNs: 9n }, { ctimeNs: 9n }, { inode: 9n }, { device: 9n }];
    for (const change of changes) {
      const { result } = ingestOne(file, { job: { expected: { ...statOf(file), ...change } } });
      expect(result.changedTo).toEqual(statOf(file));
      expect(result.bytesRead).toBe(Math.min(500, change.size ?? 500));
    }
    const same = ingestOne(file, { job: { expected: { ...statOf(file), links: 5, mode: 0o600 } } });
    expect(same.result).not.toHaveProperty("changedTo");
  });

  it("is reported when it changes while it is read", () => {
    const file: FakeFile = { extents: [{ data: noise(500) }], stat: { mtimeNs: 1n } };
    const job = jobFor("f", file);
    file.beforeRead = () => {
      file.stat = { mtimeNs: 77n };
    };
    const { result } = ingestOne(file, { job });
    expect(result.changedTo).toMatchObject({ mtimeNs: 77n });
    expect(joined(result.pieces).equals(noise(500))).toBe(true);
  });

  it("gives what was there when it shrinks under the reader's hands", () => {
    const file: FakeFile = { extents: [{ data: noise(50_000) }] };
    const job = jobFor("f", file);
    file.beforeRead = () => {
      file.extents = [{ data: noise(50_000).subarray(0, 20_000) }];
    };
    const { result } = ingestOne(file, { job });
    expect(joined(result.pieces).equals(noise(50_000).subarray(0, 20_000))).toBe(true);
    expect(result).toMatchObject({ nextOffset: undefined, bytesRead: 20_000 });
    expect(result.changedTo).toMatchObject({ size: 20_000 });
  });

  it("gives what was expected when it grows, so that a log ends", () => {
    const file: FakeFile = { extents: [{ data: noise(9000) }] };
    const expected = { ...statOf(file), size: 6000 };
    const { result } = ingestOne(file, { job: { expected } });
    expect(joined(result.pieces).equals(noise(9000).subarray(0, 6000))).toBe(true);
    expect(result).toMatchObject({ nextOffset: undefined, changedTo: { size: 9000 } });
  });

  it("does not take a shortened sparse file's missing end for a hole", () => {
    const file: FakeFile = { extents: [{ data: noise(600) }, { hole: 4096 }] };
    const expected = { ...statOf(file), size: 1_000_000 };
    const { result } = ingestOne(file, { job: { expected } });
    expect(endsOf(result.pieces).at(-1)).toBe(4696);
  });

  it("is nothing when it has become something else", () => {
    const file: FakeFile = { extents: [{ data: noise(500) }] };
    const job = jobFor("f", file);
    file.stat = { type: "fifo" };
    const { result, counts } = ingestOne(file, { job });
    expect(result).toMatchObject({ pieces: [], changedTo: { type: "fifo" } });
    expect(counts.closed).toBe(1);
  });
});

describe("ingestFiles, errors", () => {
  const errno = (code: string) => Object.assign(new Error(code), { code });

  it("keeps one file's errors from the others", () => {
    const good: FakeFile = { extents: [{ data: noise(10) }] };
    const files: Record<string, FakeFile> = {
      good,
      denied: {
        extents: [],
        openError: new Fault({ code: "SOURCE_UNREADABLE", path: "x", errno: "EACCES" }),
      },
      broken: {
        extents: [{ data: noise(10) }],
        beforeRead: () => {
          throw errno("EIO");
        },
      },
    };
    const { opener, counts } = fakeOpener(files);
    const jobs = ["denied", "gone", "broken", "good"].map((name) => jobFor(name, files[name] ?? good));
    const results = ingestFiles(jobs, keys, opener);
    expect(results.map((result) => result.errno)).toEqual(["EACCES", "ENOENT", "EIO", undefined]);
    expect(results.map((result) => result.pieces.length)).toEqual([0, 0, 0, 1]);
    expect(counts.opened).toBe(counts.closed);
  });

  it("throws what is not the file system's doing", () => {
    const file: FakeFile = { extents: [], openError: new TypeError("a bug") };
    expect(() => ingestOne(file)).toThrow("a bug");
  });
});

describe("ingestFiles, memory", () => {
  it("gives chunks whose bytes are theirs alone", () => {
    const files = {
      a: { extents: [{ data: noise(3000, "a") }] },
      b: { extents: [{ data: noise(3000, "b") }] },
    };
    const { opener } = fakeOpener(files);
    const results = ingestFiles([jobFor("a", files.a), jobFor("b", files.b)], keys, opener);
    const arrays = results.flatMap((result) =>
      result.pieces.flatMap((piece) => (piece.kind === "chunk" ? [piece.id, piece.stored] : [])),
    );
    expect(new Set(arrays.map((bytes) => bytes.buffer)).size).toBe(arrays.length);
    for (const bytes of arrays) expect(bytes.buffer.byteLength).toBe(bytes.length);
    expect(joined(must(results[0], "result").pieces).equals(noise(3000, "a"))).toBe(true);
  });
});
