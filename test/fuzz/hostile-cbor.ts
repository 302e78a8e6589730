import type { SeededRng } from "../../sim/rng.ts";
import { concatBytes } from "../../src/base/bytes.ts";

/** One item of an encoded structure: where its header and all of it end. */
interface Item {
  readonly start: number;
  readonly headEnd: number;
  readonly end: number;
}

const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const repeated = (bytes: readonly number[], times: number): Uint8Array =>
  Uint8Array.from({ length: bytes.length * times }, (_, index) => bytes[index % bytes.length] ?? 0);

/** Items that no message of ours has in that place, or has only at a bound. */
const STRANGE: readonly Uint8Array[] = [
  of(0x00),
  of(0x17),
  of(0x18, 0x17), // 23, not in its shortest form
  of(0x19, 0x00, 0x01),
  of(0x1a, 0x00, 0x00, 0x00, 0x01),
  of(0x1b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // 2^53 - 1
  of(0x1b, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00), // 2^53
  of(0x1b, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // 2^48 - 1
  of(0x1b, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00), // 2^48
  of(0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  of(0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // 2^64 - 1
  of(0x20), // -1
  of(0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // -2^64
  of(0x40),
  of(0x5a, 0xff, 0xff, 0xff, 0xff), // 4 GiB of bytes
  of(0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  of(0x5f, 0x41, 0x00, 0xff), // of indefinite length
  of(0x60),
  of(0x61, 0xff), // not UTF-8
  of(0x7b, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00),
  of(0x80),
  of(0x9a, 0xff, 0xff, 0xff, 0xff),
  of(0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  of(0x9f, 0x01, 0xff),
  of(0xa0),
  of(0xa1, 0x69, 0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f, 0xa0), // {"__proto__": {}}
  of(0xa1, 0x6b, 0x63, 0x6f, 0x6e, 0x73, 0x74, 0x72, 0x75, 0x63, 0x74, 0x6f, 0x72, 0x01), // {"constructor": 1}
  of(0xa1, 0x01, 0x02), // a number as key
  of(0xa2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02), // one key twice
  of(0xba, 0xff, 0xff, 0xff, 0xff),
  of(0xbf, 0xff),
  of(0xc2, 0x49, 0x01, 0, 0, 0, 0, 0, 0, 0, 0), // a big number
  of(0xd8, 0x20, 0x61, 0x61),
  of(0xf4),
  of(0xf5),
  of(0xf6),
  of(0xf7),
  of(0xf8, 0x18),
  of(0xf9, 0x7c, 0x00), // infinity
  of(0xf9, 0x7e, 0x00), // not a number
  of(0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0), // 1.0
  of(0xff), // a break
  repeated([0x81], 64), // lists in lists
  repeated([0x81], 20_000),
  repeated([0xa1, 0x61, 0x61], 5000),
];
const NUMBERS_MAX = 15;

/** A message that is a little, or altogether, not what it was. `bytes` stays as it is. */
export function mutated(rng: SeededRng, bytes: Uint8Array): Uint8Array {
  let out = bytes;
  const steps = 1 + (rng.chance(0.3) ? rng.below(4) : 0);
  for (let step = 0; step < steps; step++)
    out = rng.chance(0.65) ? withItemChanged(rng, out) : withBytesChanged(rng, out);
  return out;
}

/** Changes that know nothing of the encoding. */
export function withBytesChanged(rng: SeededRng, bytes: Uint8Array): Uint8Array {
  const at = rng.below(bytes.length + 1);
  switch (rng.below(6)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      return concatBytes(bytes.subarray(0, at), rng.bytes(1 + rng.below(8)), bytes.subarray(at));
    case 2:
      return concatBytes(
        bytes.subarray(0, at),
        bytes.subarray(Math.min(bytes.length, at + 1 + rng.below(8))),
      );
    case 3:
      return concatBytes(bytes, bytes.subarray(at));
    default: {
      const out = bytes.slice();
      for (let flips = 1 + rng.below(3); flips > 0 && out.length > 0; flips--) {
        const place = rng.below(out.length);
        out[place] = (out[place] ?? 0) ^ (1 << rng.below(8));
      }
      return out;
    }
  }
}

function withItemChanged(rng: SeededRng, bytes: Uint8Array): Uint8Array {
  const items = itemsOf(bytes);
  if (items.length === 0) return withBytesChanged(rng, bytes);
  const item = rng.pick(items);
  const other = rng.pick(items);
  const [before, whole, after] = [
    bytes.subarray(0, item.start),
    bytes.subarray(item.start, item.end),
    bytes.subarray(item.end),
  ];
  switch (rng.below(10)) {
    case 0:
    case 1:
    case 2:
      return concatBytes(before, rng.pick(STRANGE), after);
    case 3:
      return concatBytes(before, rng.pick(STRANGE.slice(0, NUMBERS_MAX)), after);
    case 4:
      return concatBytes(before, after);
    case 5: // twice, which in a map makes a key of a value or doubles a key
      return concatBytes(before, whole, whole, after);
    case 6:
      return concatBytes(before, bytes.subarray(other.start, other.end), after);
    case 7:
      return concatBytes(before, longForm(rng, bytes, item), bytes.subarray(item.headEnd));
    case 8: // its count or length is off by one
      return changedAt(bytes, item.headEnd - 1, (byte) => byte + (rng.chance(0.5) ? 1 : -1));
    default:
      return changedAt(bytes, item.start, (byte) => (byte & 31) | (rng.below(8) << 5));
  }
}

function changedAt(bytes: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
  const out = bytes.slice();
  out[at] = change(out[at] ?? 0);
  return out;
}

/** The header with its number in more bytes than it needs. */
function longForm(rng: SeededRng, bytes: Uint8Array, item: Item): Uint8Array {
  const first = bytes[item.start] ?? 0;
  const argument = bytes.subarray(item.start + 1, item.headEnd);
  const value = argument.length === 0 ? of(first & 31) : argument;
  const widths = [1, 2, 4, 8].filter(
    (width) => width > value.length || (width === 1 && argument.length === 0),
  );
  if (widths.length === 0) return bytes.subarray(item.start, item.headEnd);
  const width = rng.pick(widths);
  const out = new Uint8Array(1 + width);
  out[0] = (first & 0xe0) | (24 + Math.log2(width));
  out.set(value, 1 + width - value.length);
  return out;
}

/** Larger messages are changed without a look at what is in them. */
const ITEMS_MAX = 2000;

function itemsOf(bytes: Uint8Array): Item[] {
  const items: Item[] = [];
  try {
    let at = 0;
    while (at < bytes.length && items.length < ITEMS_MAX) at = readItem(bytes, at, items, 0);
  } catch {
    // Changed before: what was found up to there can be changed again.
  }
  return items;
}

function readItem(bytes: Uint8Array, start: number, items: Item[], depth: number): number {
  const first = bytes[start];
  if (first === undefined || depth > 64 || items.length > ITEMS_MAX) throw new Error("no item");
  const [major, minor] = [first >> 5, first & 31];
  const width = minor < 24 ? 0 : minor < 28 ? 2 ** (minor - 24) : Number.NaN;
  const headEnd = start + 1 + width;
  if (!(headEnd <= bytes.length)) throw new Error("no item");
  let value = minor;
  if (width > 0) {
    value = 0;
    for (let at = start + 1; at < headEnd; at++) value = value * 256 + (bytes[at] ?? 0);
  }
  let end = headEnd;
  if (major === 2 || major === 3) end += value;
  else if (major === 4 || major === 5) {
    const children = major === 5 ? 2 * value : value;
    for (let child = 0; child < children; child++) end = readItem(bytes, end, items, depth + 1);
  } else if (major === 6) end = readItem(bytes, end, items, depth + 1);
  if (end > bytes.length) throw new Error("no item");
  items.push({ start, headEnd, end });
  return end;
}
