import { hash } from "node:crypto";
import { assert } from "../base/assert.ts";
import { compareBytes, concatBytes, u32be, utf8 } from "../base/bytes.ts";

/** What a node draws lots with: its number from the certificate, and how large its share should be. */
export interface Rankable {
  /** Drawn by the signer of the certificate: peer ids could be ground until they win, this cannot. */
  readonly nodeNumber: Uint8Array;
  /** Any unit, the same for all (bytes of quota). A node of weight 0 takes no part. */
  readonly weight: number;
}

const DOMAIN = utf8("cairn/1/rendezvous\0");

/**
 * A number in the open interval (0, 1), uniform over the odd multiples of 2^-53: the first 52 bits of
 * SHA-256(domain, length of key, key, node number), plus a half, over 2^52. Neither 0 (no logarithm) nor 1 (a
 * score of 0 whatever the weight) can come out, and every value is exact in a double.
 */
function drawOf(prefix: Uint8Array, nodeNumber: Uint8Array): number {
  const digest = hash("sha256", concatBytes(prefix, nodeNumber), "buffer");
  const bits52 = digest.readUInt32BE(0) * 2 ** 20 + (digest.readUInt32BE(4) >>> 12);
  return (2 * bits52 + 1) / 2 ** 53;
}

/**
 * Natural logarithm from IEEE additions, multiplications and divisions alone, each of which every platform
 * rounds alike. `Math.log` may differ in the last bit between engines and versions, so that two nodes could
 * disagree about an order which both compute for themselves. `x` is finite and > 0; relative error < 1e-14.
 */
export function portableLn(x: number): number {
  assert(x > 0 && x < Number.POSITIVE_INFINITY, "a logarithm is taken of a positive number");
  let mantissa = x;
  let exponent = 0;
  for (; mantissa < Math.SQRT1_2; exponent--) mantissa *= 2;
  for (; mantissa > Math.SQRT2; exponent++) mantissa /= 2;
  // ln((1 + s) / (1 - s)) = 2 (s + s^3/3 + s^5/5 + ...); |s| < 0.1716, so s^23/23 is below half a last bit.
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 1 / 21;
  for (let odd = 19; odd >= 1; odd -= 2) sum = sum * square + 1 / odd;
  return exponent * Math.LN2 + 2 * s * sum;
}

/**
 * The node's lot for this key: -ln(h) / weight, exponentially distributed with the weight as its rate. The
 * smallest wins, with a probability proportional to its weight, and a node that joins or leaves moves only what
 * it wins or held: nothing else changes place.
 */
export function rendezvousScore(key: Uint8Array, node: Rankable): number {
  return scoreWith(keyPrefix(key), node);
}

function keyPrefix(key: Uint8Array): Uint8Array {
  return concatBytes(DOMAIN, u32be(key.length), key);
}

function scoreWith(prefix: Uint8Array, node: Rankable): number {
  return -portableLn(drawOf(prefix, node.nodeNumber)) / node.weight;
}

/**
 * The nodes in the order in which they are asked to hold what `key` names, best first; equal scores by node
 * number. Those without weight are left out. Every member that sees the same roster gets the same order.
 */
export function rankCandidates<T extends Rankable>(key: Uint8Array, nodes: readonly T[]): T[] {
  const prefix = keyPrefix(key);
  return nodes
    .filter((node) => node.weight > 0)
    .map((node) => ({ node, score: scoreWith(prefix, node) }))
    .sort((a, b) => a.score - b.score || compareBytes(a.node.nodeNumber, b.node.nodeNumber))
    .map(({ node }) => node);
}
