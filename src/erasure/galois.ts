import { assert, must } from "../base/assert.ts";

/**
 * GF(2^8): bytes as polynomials over GF(2), modulo x^8 + x^4 + x^3 + x^2 + 1. Adding is XOR. 2 generates all
 * 255 elements but zero, so that multiplying is adding logarithms. This polynomial is the one that Backblaze's,
 * klauspost's and the Rust `reed-solomon-erasure` code use.
 */
const POLYNOMIAL = 0x11d;
const ORDER = 255;

const exponentials = new Uint8Array(ORDER);
const logarithms = new Uint8Array(256);
for (let power = 0, element = 1; power < ORDER; power++) {
  exponentials[power] = element;
  logarithms[element] = power;
  element <<= 1;
  if (element > 0xff) element ^= POLYNOMIAL;
}

const exponential = (power: number): number => must(exponentials[power % ORDER], "power");
const logarithm = (element: number): number => must(logarithms[element], "logarithm");

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : exponential(logarithm(a) + logarithm(b));
}

export function inverse(a: number): number {
  assert(a !== 0, "zero has no inverse");
  return exponential(ORDER - logarithm(a));
}

/** `power(0, 0)` is 1, as the Vandermonde matrix of the format has it. */
export function power(base: number, exponent: number): number {
  if (exponent === 0) return 1;
  return base === 0 ? 0 : exponential(logarithm(base) * exponent);
}
