import { concatBytes, u32be, utf8 } from "../../src/base/bytes.ts";

/** Messages of a given size that make as much as can be of every byte. */
export const GREEDY: Readonly<Record<string, (bytes: number) => Uint8Array>> = {
  "empty lists in a list": (bytes) => list(bytes - 5, Uint8Array.of(0x80), 1),
  "empty maps in a list": (bytes) => list(bytes - 5, Uint8Array.of(0xa0), 1),
  "pairs in a list": (bytes) => list(bytes - 5, Uint8Array.of(0x82, 0x00, 0x00), 1),
  "big numbers in a list": (bytes) => list(bytes - 5, Uint8Array.of(0x1b, 0xff, 0, 0, 0, 0, 0, 0, 0), 1),
  "lists in lists": (bytes) => new Uint8Array(bytes).fill(0x81),
  "keys in a map": (bytes) => {
    const count = Math.floor((bytes - 5) / 6);
    const keys = new Uint8Array(count * 6);
    for (let index = 0; index < count; index++) {
      const key = (index + 2 ** 20).toString(32).slice(-4).padStart(4, "0");
      keys.set([0x64, ...utf8(key), 0x00], index * 6);
    }
    return concatBytes(Uint8Array.of(0xba), u32be(count), keys);
  },
  "one long key": (bytes) =>
    concatBytes(
      Uint8Array.of(0xa1, 0x7a),
      u32be(bytes - 7),
      new Uint8Array(bytes - 7).fill(0x61),
      Uint8Array.of(0),
    ),
  "shards that are none": (bytes) => {
    const fields = concatBytes(
      Uint8Array.of(0xa5),
      ...[text("t"), text("have"), text("v"), Uint8Array.of(1)],
      ...[text("owner"), Uint8Array.of(0x58, 32), new Uint8Array(32)],
      ...[text("incarnation"), Uint8Array.of(0x50), new Uint8Array(16), text("shards")],
    );
    return concatBytes(fields, list(bytes - fields.length - 5, Uint8Array.of(0x80), 1));
  },
};

function list(bytes: number, item: Uint8Array, itemsEach: number): Uint8Array {
  const count = Math.floor(bytes / item.length);
  const out = new Uint8Array(count * item.length);
  for (let at = 0; at < out.length; at += item.length) out.set(item, at);
  return concatBytes(Uint8Array.of(0x9a), u32be(count * itemsEach), out);
}

function text(value: string): Uint8Array {
  return concatBytes(Uint8Array.of(0x60 | value.length), utf8(value));
}
