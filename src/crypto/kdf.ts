import { hkdfSync } from "node:crypto";
import { concatBytes, EMPTY_BYTES, utf8 } from "../base/bytes.ts";

/**
 * HKDF-SHA-512 (RFC 5869): `lengthBytes` bytes that tell nothing about other outputs of the same key. `salt` may be
 * empty; `info` is the purpose, and every purpose in this program has a text of its own.
 */
export function hkdfSha512(
  key: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return new Uint8Array(hkdfSync("sha512", key, salt, info, lengthBytes));
}

/** A 32-byte key of a key: HKDF-SHA-512 with an empty salt and the info `cairn/1/<purpose>`. */
export function subkey(key: Uint8Array, purpose: string): Uint8Array {
  return hkdfSha512(key, EMPTY_BYTES, utf8(`cairn/1/${purpose}`), 32);
}

/** Info of a derivation: `cairn/1/<purpose>`, a zero byte, then fields of fixed width. */
export function infoOf(purpose: string, ...fields: readonly Uint8Array[]): Uint8Array {
  return concatBytes(utf8(`cairn/1/${purpose}\0`), ...fields);
}
