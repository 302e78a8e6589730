import { expect, it } from "vitest";
import { INCARNATION_BYTES, incarnationOf } from "../../../src/base/ids.ts";
import { trailOfHeads } from "../../../src/node/catalog-import.ts";
import type { HeadPayload } from "../../../src/wire/head.ts";

const life = (byte: number) => incarnationOf(new Uint8Array(INCARNATION_BYTES).fill(byte));
const root = {
  id: new Uint8Array(32),
  ...{
    incarnation: 0,
    class: 0,
    segment: 0,
    frame: 0,
    offset: 0,
    sealedBytes: 0,
    rawBytes: 0,
    compressed: false,
  },
};
const head = (sequence: number | undefined, lives = [1]): HeadPayload => ({
  v: 1,
  incarnations: lives.map(life),
  root,
  snapshotSequence: 0,
  ...(sequence === undefined ? {} : { trail: { sequence, hash: new Uint8Array(32), pages: [] } }),
});
const sequenceOf = (chosen: HeadPayload, ...older: HeadPayload[]) =>
  trailOfHeads(
    chosen,
    older.map((payload) => ({ payload })),
  )?.sequence;

it("a recovery goes on from the trail of the head that it goes on from", () => {
  expect(sequenceOf(head(5), head(9))).toBe(5);
  expect(sequenceOf(head(undefined))).toBeUndefined();
});

it("a head that names no trail does not end it, nor does one of another line of lives begin it", () => {
  expect(sequenceOf(head(undefined, [1, 2]), head(undefined), head(7), head(6))).toBe(7);
  expect(sequenceOf(head(undefined), head(7, [3]))).toBeUndefined();
});
