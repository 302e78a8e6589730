import { equalBytes } from "../base/bytes.ts";

/** Segments of one row, as in a statement: bit i stands for `first + i * partitions`. */
export interface RowBits {
  readonly first: number;
  readonly partitions: number;
  readonly bits: Uint8Array;
}

export function hasBit(bits: Uint8Array, at: number): boolean {
  return (((bits[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
}

export function setBit(bits: Uint8Array, at: number): void {
  bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
}

export function isNone(bits: Uint8Array): boolean {
  return bits.every((byte) => byte === 0);
}

/** Those of `bits` that are not in `without`. */
export function butNot(bits: Uint8Array, without: Uint8Array): Uint8Array {
  return bits.map((byte, at) => byte & ~(without[at] ?? 0));
}

export function both(bits: Uint8Array, others: Uint8Array): Uint8Array {
  return bits.map((byte, at) => byte & (others[at] ?? 0));
}

/** As long as `bits`. */
export function joined(bits: Uint8Array, others: Uint8Array): Uint8Array {
  return bits.map((byte, at) => byte | (others[at] ?? 0));
}

/** Positions of those that are set. */
export function* positions(bits: Uint8Array): Generator<number> {
  for (const [at, byte] of bits.entries())
    if (byte !== 0) for (let bit = 0; bit < 8; bit++) if (((byte >> bit) & 1) === 1) yield at * 8 + bit;
}

export function numberAt({ first, partitions }: RowBits, position: number): number {
  return first + position * partitions;
}

/** Whether every segment of one is in the other; false too where that would take longer to find out than it is worth. */
export function isWithin(inner: RowBits, outer: RowBits): boolean {
  if (inner.partitions !== outer.partitions) return false;
  const shift = (inner.first - outer.first) / inner.partitions;
  if (!Number.isInteger(shift)) return false;
  if (shift === 0 && equalBytes(inner.bits, outer.bits)) return true;
  for (const at of positions(inner.bits)) if (at + shift < 0 || !hasBit(outer.bits, at + shift)) return false;
  return true;
}
