import { expect, it } from "vitest";
import { type Incarnation, incarnationOf, peerIdOf, swarmIdOf } from "../../../src/base/ids.ts";
import { type Signed, signStatement } from "../../../src/crypto/signed.ts";
import { pickHead } from "../../../src/node/index.ts";
import { forksOf, rankHeads } from "../../../src/node/recovery-heads.ts";
import { headBody } from "../../../src/wire/head.ts";
import { ownerKeys } from "../../support/segments.ts";

// In which order heads are believed, and which are not.

const swarm = swarmIdOf(new Uint8Array(32).fill(7));
const keys = ownerKeys(1);
const [first, second, third] = [1, 2, 3].map((byte) => incarnationOf(new Uint8Array(16).fill(byte)));
const peer = peerIdOf(new Uint8Array(32).fill(5));
const LEAP = 2 ** 32;

function head(incarnation: Incarnation | undefined, epoch: number, timeMs = 0): Signed {
  if (incarnation === undefined) throw new Error("a life");
  const body = headBody.encode({ v: 1, timeMs, nextSegment: 0, payload: Uint8Array.of(1) });
  return signStatement({ type: "head", swarm, incarnation, epoch, body }, keys.signer);
}

const certified = [second, third].flatMap((life) => (life === undefined ? [] : [life]));
const ranked = (records: Signed[], lives: readonly Incarnation[] = certified) =>
  rankHeads([{ peer, records }], lives);
const epochs = (records: Signed[]): number[] => ranked(records).heads.map(({ signed }) => signed.epoch);

it("a life that the recovery key certified outranks any epoch, a later one the earlier", () => {
  expect(epochs([head(first, 900), head(second, 20), head(third, 4), head(third, 5)])).toEqual([
    5, 4, 20, 900,
  ]);
});

it("a leap of more than 2^32 is left out, and so is what goes on from it; up to that it counts", () => {
  const far = ranked([head(first, 3), head(first, 4 + LEAP), head(first, 5 + LEAP)]);
  expect(far.heads.map(({ signed }) => signed.epoch)).toEqual([3]);
  expect(far.leaps.length).toBe(2);
  expect(epochs([head(first, 3), head(first, 3 + LEAP)])).toEqual([3 + LEAP, 3]);
  expect(ranked([head(first, 1 + LEAP)]).heads).toEqual([]);
});

it("lives that were not certified cannot leap beside each other; a certified one begins anywhere, and cannot then", () => {
  expect(ranked([head(first, 3), head(second, 9 + LEAP)], []).leaps.length).toBe(1);
  expect(epochs([head(first, 3), head(second, 9 + LEAP)])).toEqual([9 + LEAP, 3]);
  expect(epochs([head(second, 3), head(second, 4 + LEAP)])).toEqual([3]);
});

it("the same head of two members is one, and two of one epoch are a fork", () => {
  const one = head(first, 3);
  const other = peerIdOf(new Uint8Array(32).fill(6));
  const found = [
    { peer, records: [one, head(first, 3, 1)] },
    { peer: other, records: [one] },
  ];
  const { heads } = rankHeads(found, certified);
  expect(heads.map(({ keepers }) => keepers.length).sort()).toEqual([1, 2]);
  for (const each of heads) expect(forksOf(heads, each)).toHaveLength(1);
});

it("is picked by a beginning of its id that no other has", () => {
  const { heads } = ranked([head(first, 1), head(first, 2)]);
  for (const each of heads) expect(pickHead(heads, each.id.slice(0, 16).toUpperCase())).toBe(each);
  expect(() => pickHead(heads, "")).toThrow(/2 of the heads/);
  expect(() => pickHead(heads, "nothing")).toThrow(/0 of the heads/);
});
