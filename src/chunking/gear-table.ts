import { hkdfSync } from "node:crypto";
import { assert } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";

const GEAR_INFO = utf8("cairn/1/gear-table");
const ENTRIES = 256;

/**
 * The 256 numbers that the owner's gear hash adds, one for each byte value: HKDF-SHA-512 of the gear key, read
 * as big-endian 32-bit numbers. Keyed, so that cuts of a known file cannot be looked up in a public table; that
 * alone does not hide chunk sizes (eprint 2025/532 and 2025/558 recover such tables), padded segments do.
 */
export function gearTable(gearKey: Uint8Array): Int32Array {
  assert(gearKey.length === 32, "a gear key has 32 bytes");
  const stream = new DataView(hkdfSync("sha512", gearKey, new Uint8Array(0), GEAR_INFO, ENTRIES * 4));
  return Int32Array.from({ length: ENTRIES }, (_, value) => stream.getInt32(value * 4));
}
