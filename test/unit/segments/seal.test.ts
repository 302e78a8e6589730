import { describe, expect, it } from "vitest";
import { AssertionFailure } from "../../../src/base/assert.ts";
import { EMPTY_BYTES, utf8 } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { KIB, MIB } from "../../../src/base/units.ts";
import type { FrameJob, OpenJob, PreparedChunk } from "../../../src/ports/compute.ts";
import {
  contentBytesOf,
  openFrames,
  openWholeSegment,
  readToc,
  SEGMENT_HEADER_BYTES,
  SegmentBuilder,
  type SegmentIdentity,
  sealSegment,
} from "../../../src/segments/index.ts";
import { identityOf, noise, ownerKeys, prepare } from "../../support/segments.ts";

const keys = ownerKeys(1);
const identity = identityOf(keys, 7);
const RANDOM = new Uint8Array(32).fill(9);
const raws = [utf8("first ".repeat(500)), noise(3000, 2), EMPTY_BYTES, utf8("x")];
const chunks = raws.map((raw) => prepare(keys, raw));
const SEGMENT_BYTES = 16 * KIB;

function seal(
  over: { chunks?: PreparedChunk[]; random?: Uint8Array; segmentBytes?: number } = {},
): Uint8Array {
  const { dataKey, saltKey } = keys;
  return sealSegment({
    ...identity,
    dataKey,
    saltKey,
    random: RANDOM,
    chunks,
    segmentBytes: SEGMENT_BYTES,
    ...over,
  });
}

function frameJobs(sealed: Uint8Array): FrameJob[] {
  const builder = new SegmentBuilder({ capacityBytes: sealed.length });
  return chunks.map((chunk) => {
    const place = builder.tryAdd(chunk);
    if (place === undefined) throw new Error("no room");
    const { id, rawBytes, compressed } = chunk;
    const bytes = sealed.subarray(place.offset, place.offset + place.sealedBytes);
    return { frame: place.frame, sealed: bytes, id, rawBytes, compressed };
  });
}

function openJob(sealed: Uint8Array, over: Partial<OpenJob> = {}): OpenJob {
  return {
    ...identity,
    dataKey: keys.dataKey,
    chunkIdKey: keys.chunkIdKey,
    header: sealed.subarray(0, SEGMENT_HEADER_BYTES),
    frames: frameJobs(sealed),
    ...over,
  };
}

function reasonOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof Fault && error.detail.code === "SEGMENT_UNREADABLE") {
      expect(error.detail.segment.number).toBe(7);
      return error.detail.reason;
    }
    throw error;
  }
  throw new Error("it opened");
}

describe("a sealed segment", () => {
  const sealed = seal();

  it("has the size asked for and gives its chunks back by their places", () => {
    expect(sealed).toHaveLength(SEGMENT_BYTES);
    expect(openFrames(openJob(sealed)).map((raw) => Buffer.from(raw))).toEqual(
      raws.map((raw) => Buffer.from(raw)),
    );
  });

  it("gives a single chunk back, without the others", () => {
    const [, second] = frameJobs(sealed);
    if (second === undefined) throw new Error("no frame");
    expect(Buffer.from(openFrames(openJob(sealed, { frames: [second] }))[0] ?? [])).toEqual(
      Buffer.from(noise(3000, 2)),
    );
  });

  it("tells what is in it", () => {
    const toc = readToc(keys, identity, sealed);
    expect(
      toc.map(({ id, rawBytes, compressed }) => ({ id: Buffer.from(id), rawBytes, compressed })),
    ).toEqual(chunks.map(({ id, rawBytes, compressed }) => ({ id: Buffer.from(id), rawBytes, compressed })));
    const whole = openWholeSegment(keys, identity, sealed);
    expect(whole.toc.map((entry) => Buffer.from(whole.read(entry)))).toEqual(
      raws.map((raw) => Buffer.from(raw)),
    );
    const again = seal({ chunks: whole.toc.map((entry) => whole.prepared(entry)) });
    expect(Buffer.from(again)).toEqual(Buffer.from(sealed));
  });

  it("may be empty, and may be exactly full", () => {
    expect(readToc(keys, identity, seal({ chunks: [] }))).toEqual([]);
    const exact = seal({ segmentBytes: contentBytesOf(chunks) });
    expect(readToc(keys, identity, exact)).toHaveLength(chunks.length);
    expect(() => seal({ segmentBytes: contentBytesOf(chunks) - 1 })).toThrow(AssertionFailure);
  });

  it("shows nothing of its content, not even zeros of the padding", () => {
    const text = Buffer.from(seal({ chunks: [prepare(keys, noise(100, 3))], segmentBytes: MIB }));
    expect(text.includes(Buffer.alloc(12))).toBe(false);
    expect(text.includes(Buffer.from(noise(100, 3)).subarray(0, 8))).toBe(false);
  });
});

describe("what does not open", () => {
  const sealed = seal();

  it("another key", () => {
    expect(reasonOf(() => openFrames(openJob(sealed, { dataKey: ownerKeys(2).dataKey })))).toContain(
      "commitment",
    );
  });

  it.each<[string, Partial<SegmentIdentity>]>([
    ["owner", { owner: new Uint8Array(32) }],
    ["incarnation", { incarnation: new Uint8Array(16) }],
  ])("a segment shown as one of another %s", (_, over) => {
    expect(reasonOf(() => openFrames(openJob(sealed, over)))).toContain("commitment");
  });

  it("frames in another order, and frames that do not exist", () => {
    const frames = frameJobs(sealed);
    const swapped = frames.map((frame, index) => ({
      ...frame,
      sealed: frames[1 - index]?.sealed ?? frame.sealed,
    }));
    expect(reasonOf(() => openFrames(openJob(sealed, { frames: swapped })))).toContain("frame 1 is damaged");
    for (const frame of [-1, 0.5, 2 ** 32, Number.NaN]) {
      const odd = frames.slice(0, 1).map((job) => ({ ...job, frame }));
      expect(reasonOf(() => openFrames(openJob(sealed, { frames: odd })))).toContain("there is no frame");
    }
  });

  it("the table of contents shown as a chunk", () => {
    const toc = readToc(keys, identity, sealed);
    const last = toc.at(-1);
    if (last === undefined) throw new Error("no entry");
    const job = { ...last, frame: last.frame + 1, sealed: sealed.subarray(last.offset + last.sealedBytes) };
    expect(reasonOf(() => openFrames(openJob(sealed, { frames: [job] })))).toContain("damaged");
  });

  it("a frame of another sealing of the same segment", () => {
    const other = seal({ random: new Uint8Array(32).fill(10) });
    const job = openJob(sealed, { frames: frameJobs(other) });
    expect(reasonOf(() => openFrames(job))).toContain("frame 1 is damaged");
  });

  it("a chunk that is not the one the index says", () => {
    const frames = frameJobs(sealed).map((frame) => ({ ...frame, id: new Uint8Array(32) }));
    expect(reasonOf(() => openFrames(openJob(sealed, { frames })))).toContain("frame 1 holds another chunk");
  });

  it("a chunk of another length than the index says", () => {
    for (const more of [-1, 1, 1000]) {
      const frames = frameJobs(sealed).map((frame) => ({ ...frame, rawBytes: frame.rawBytes + more }));
      expect(reasonOf(() => openFrames(openJob(sealed, { frames })))).toContain(
        "frame 1 does not decompress",
      );
    }
  });

  it("a segment with bytes missing or added", () => {
    for (const bytes of [0, 8, SEGMENT_HEADER_BYTES, 90, 5000, sealed.length - 1]) {
      expect(reasonOf(() => readToc(keys, identity, sealed.subarray(0, bytes)))).not.toBe("");
    }
    expect(reasonOf(() => readToc(keys, identity, Buffer.concat([sealed, Buffer.of(0)])))).toContain(
      "length",
    );
  });

  it("says so when the format is a later one", () => {
    const later = sealed.slice();
    later[4] = 2;
    expect(reasonOf(() => readToc(keys, identity, later))).toContain("format version 2");
  });
});

describe("the salt", () => {
  const saltOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(8, 40)).toString("hex");

  it("is another for other random bytes", () => {
    expect(saltOf(seal({ random: new Uint8Array(32).fill(10) }))).not.toBe(saltOf(seal()));
  });

  it("is another for other content, order or padding even when the random bytes repeat", () => {
    const salts = [
      seal(),
      seal({ chunks: chunks.slice(1) }),
      seal({ chunks: chunks.toReversed() }),
      seal({ segmentBytes: SEGMENT_BYTES + 1 }),
      // The same chunks, compressed to as many other bytes: another version of zstd.
      seal({ chunks: chunks.map((chunk) => ({ ...chunk, stored: chunk.stored.toReversed() })) }),
      seal({ chunks: chunks.map((chunk) => ({ ...chunk, compressed: !chunk.compressed })) }),
    ].map(saltOf);
    expect(new Set(salts).size).toBe(salts.length);
  });

  it("repeats only with every byte the same", () => {
    expect(Buffer.from(seal())).toEqual(Buffer.from(seal()));
  });
});
