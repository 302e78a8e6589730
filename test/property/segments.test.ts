import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isFault } from "../../src/base/fault.ts";
import { KIB } from "../../src/base/units.ts";
import type { OwnerKeys } from "../../src/crypto/keys.ts";
import type { PreparedChunk } from "../../src/ports/compute.ts";
import {
  contentBytesOf,
  openFrames,
  openWholeSegment,
  paddedSegmentBytes,
  SEGMENT_HEADER_BYTES,
  type SegmentIdentity,
  type SegmentSizes,
  sealSegment,
} from "../../src/segments/index.ts";
import { identityOf, noise, ownerKeys, prepare } from "../support/segments.ts";

const SIZES: SegmentSizes = {
  fullBytes: 64 * KIB,
  chunkMaxBytes: 16 * KIB,
  tailMaxBytes: 4 * KIB,
  leafBytes: 64,
};

const KEYS = ownerKeys(1);

const raw = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 400 }))
    .map(([word, times]) => new Uint8Array(Buffer.concat(new Array<Uint8Array>(times).fill(word)))),
);
const raws = fc.array(raw, { maxLength: 8 });
const random = fc.uint8Array({ minLength: 32, maxLength: 32 });
const number = fc.integer({ min: 0, max: 2 ** 48 - 1 });

function sealFor(
  keys: OwnerKeys,
  identity: SegmentIdentity,
  randomBytes: Uint8Array,
  chunks: PreparedChunk[],
): Uint8Array {
  const segmentBytes = paddedSegmentBytes(contentBytesOf(chunks), SIZES);
  const { dataKey, saltKey } = keys;
  return sealSegment({ ...identity, dataKey, saltKey, random: randomBytes, chunks, segmentBytes });
}

/** Everything that is in a segment, or `undefined` when any part of it does not open. */
function contentOf(identity: SegmentIdentity, sealed: Uint8Array): Buffer[] | undefined {
  try {
    const whole = openWholeSegment(KEYS, identity, sealed);
    return whole.toc.map((entry) => Buffer.from(whole.read(entry)));
  } catch (error) {
    if (isFault(error, "SEGMENT_UNREADABLE")) return undefined;
    throw error;
  }
}

describe("segments", () => {
  it("give back what went in: whole, and frame by frame", () => {
    fc.assert(
      fc.property(raws, random, number, (plaintexts, randomBytes, segment) => {
        const identity = identityOf(KEYS, segment);
        const sealed = sealFor(
          KEYS,
          identity,
          randomBytes,
          plaintexts.map((bytes) => prepare(KEYS, bytes)),
        );
        const expected = plaintexts.map((bytes) => Buffer.from(bytes));
        expect(contentOf(identity, sealed)).toEqual(expected);
        const { toc } = openWholeSegment(KEYS, identity, sealed);
        const frames = toc.map((entry) => ({
          ...entry,
          sealed: sealed.slice(entry.offset, entry.offset + entry.sealedBytes),
        }));
        const header = sealed.slice(0, SEGMENT_HEADER_BYTES);
        const { dataKey, chunkIdKey } = KEYS;
        const opened = openFrames({ ...identity, dataKey, chunkIdKey, header, frames });
        expect(opened.map((bytes) => Buffer.from(bytes))).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it("do not open with any one bit changed, wherever it is", () => {
    const identity = identityOf(KEYS, 3);
    const chunks = [noise(90, 1), new Uint8Array(500), noise(3, 2)].map((bytes) => prepare(KEYS, bytes));
    const sealed = sealFor(KEYS, identity, new Uint8Array(32), chunks);
    expect(contentOf(identity, sealed)).toHaveLength(3);
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = sealed.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(contentOf(identity, changed), `bit ${bit}`).toBeUndefined();
    }
  });

  it("do not open under another number", () => {
    fc.assert(
      fc.property(raws, number, number, (plaintexts, mine, other) => {
        fc.pre(mine !== other);
        const chunks = plaintexts.map((bytes) => prepare(KEYS, bytes));
        const sealed = sealFor(KEYS, identityOf(KEYS, mine), new Uint8Array(32), chunks);
        expect(contentOf(identityOf(KEYS, other), sealed)).toBeUndefined();
      }),
      { numRuns: 30 },
    );
  });

  it("of two owners with the same files and the same luck have nothing in common but their size", () => {
    const RUN_BYTES = 6; // 2^-48 for a run to be there by chance at any pair of places
    fc.assert(
      fc.property(raws, random, (plaintexts, randomBytes) => {
        const [one, two] = [ownerKeys(1), ownerKeys(2)].map((keys) =>
          sealFor(
            keys,
            identityOf(keys),
            randomBytes,
            plaintexts.map((bytes) => prepare(keys, bytes)),
          ).subarray(8),
        );
        if (one === undefined || two === undefined) throw new Error("two segments");
        expect(one.length).toBe(two.length);
        const runs = new Set<string>();
        for (let at = 0; at + RUN_BYTES <= one.length; at++) {
          runs.add(Buffer.from(one.subarray(at, at + RUN_BYTES)).toString("latin1"));
        }
        for (let at = 0; at + RUN_BYTES <= two.length; at++) {
          expect(runs.has(Buffer.from(two.subarray(at, at + RUN_BYTES)).toString("latin1"))).toBe(false);
        }
      }),
      { numRuns: 10 },
    );
  });
});
