import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { PeerBuckets, TokenBucket } from "../../../../src/adapters/libp2p/pace.ts";
import { peerIdOf } from "../../../../src/base/ids.ts";

const RATE = { perSecond: 100, burst: 5 };

test("a burst at once, then one each interval; what is borrowed comes later", () => {
  const bucket = new TokenBucket(RATE, 1000);
  const waits = Array.from({ length: 8 }, () => bucket.borrow(1000));
  expect(waits).toEqual([0, 0, 0, 0, 0, 10, 20, 30]);
  // After the debt is paid, the next one is there at once.
  expect(bucket.borrow(1040)).toBe(0);
  expect(bucket.borrow(1040)).toBe(10);
});

test("nothing is taken where nothing is, and no more is saved than the burst", () => {
  const bucket = new TokenBucket(RATE, 0);
  const taken = (nowMs: number): number =>
    Array.from({ length: 20 }, () => bucket.take(nowMs)).filter(Boolean).length;
  expect(taken(0)).toBe(5);
  expect(taken(0)).toBe(0);
  expect(taken(29)).toBe(2);
  expect(taken(1_000_000)).toBe(5);
  expect(bucket.isFull(1_000_049)).toBe(false);
  expect(bucket.isFull(1_000_050)).toBe(true);
});

test("each peer has its own, those that rest are forgotten, and the number is bounded", () => {
  const buckets = new PeerBuckets(RATE);
  const peers = Array.from({ length: 5000 }, () => peerIdOf(randomBytes(32)));
  const [first, second] = [peers[0] ?? peerIdOf(randomBytes(32)), peers[1] ?? peerIdOf(randomBytes(32))];
  for (let at = 0; at < 5; at++) expect(buckets.of(first, 0).take(0)).toBe(true);
  expect(buckets.of(first, 0).take(0)).toBe(false);
  expect(buckets.of(second, 0).take(0)).toBe(true);
  for (const peer of peers) buckets.of(peer, 0).take(0);
  expect(buckets.size).toBe(4096);
  buckets.of(second, 60_000);
  expect(buckets.size).toBe(1);
});
