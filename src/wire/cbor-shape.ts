/** What an encoded structure may cost before anything of it is decoded. */
export interface ShapeLimits {
  /** Numbers, texts, byte strings, lists and maps together, keys of maps included. */
  readonly itemsMax: number;
  readonly depthMax: number;
}

const MAJOR = { bytes: 2, text: 3, list: 4, map: 5, tag: 6, simple: 7 } as const;

/**
 * Walks over CBOR without decoding it. A sentence when it is cut off, goes on behind its end, is of indefinite length, tagged,
 * or more than the limits; `undefined` when a decoder may have it. A decoder makes an object of some 50 bytes, and a
 * checker of its values a report of some hundreds, of what is one byte here: 8 MiB of empty lists were gigabytes.
 */
export function shapeFault(bytes: Uint8Array, limits: ShapeLimits): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Items that are still to come, of each list or map that is open. */
  const open: number[] = [];
  let awaited = 1;
  let at = 0;
  let items = 0;
  for (;;) {
    while (awaited === 0) {
      const outer = open.pop();
      if (outer === undefined) return at === bytes.length ? undefined : "there is something behind its end";
      awaited = outer;
    }
    awaited--;
    if (++items > limits.itemsMax) return `it has more than ${limits.itemsMax} items`;
    const first = bytes[at];
    if (first === undefined) return "it is cut off";
    const major = first >> 5;
    const argument = argumentOf(view, at, first & 31);
    if (typeof argument === "string") return argument;
    at += argument.bytes;
    const leftBytes = bytes.length - at;
    if (leftBytes < 0) return "it is cut off";
    if (major === MAJOR.tag) return "it has a tag";
    if (major === MAJOR.bytes || major === MAJOR.text) {
      if (argument.value > leftBytes) return "it is cut off";
      at += argument.value;
    } else if (major === MAJOR.list || major === MAJOR.map) {
      const count = major === MAJOR.map ? 2 * argument.value : argument.value;
      // Each item has a byte at least.
      if (count > leftBytes) return "it is cut off";
      if (open.length >= limits.depthMax) return `it is nested more than ${limits.depthMax} deep`;
      open.push(awaited);
      awaited = count;
    }
  }
}

/** The number behind an item's first byte, and how many bytes both take. Inexact above 2^53, where nothing is that long. */
function argumentOf(
  view: DataView,
  at: number,
  minor: number,
): { readonly value: number; readonly bytes: number } | string {
  if (minor < 24) return { value: minor, bytes: 1 };
  if (minor > 27) return "it has a length that is none";
  const width = 2 ** (minor - 24);
  if (at + 1 + width > view.byteLength) return "it is cut off";
  switch (width) {
    case 1:
      return { value: view.getUint8(at + 1), bytes: 2 };
    case 2:
      return { value: view.getUint16(at + 1), bytes: 3 };
    case 4:
      return { value: view.getUint32(at + 1), bytes: 5 };
    default:
      return { value: view.getUint32(at + 1) * 2 ** 32 + view.getUint32(at + 5), bytes: 9 };
  }
}
