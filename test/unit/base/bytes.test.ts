import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bufferOf,
  compareBytes,
  concatBytes,
  equalBytes,
  fromBase64Url,
  fromHex,
  fromUtf8,
  readU64be,
  toBase64,
  toBase64Url,
  toHex,
  u32be,
  u64be,
  utf8,
} from "../../../src/base/bytes.ts";

const bytes = fc.uint8Array({ maxLength: 70 });

describe("text of bytes", () => {
  test("hex and base64url come back", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(equalBytes(fromHex(toHex(value)) ?? utf8("?"), value)).toBe(true);
        expect(equalBytes(fromHex(toHex(value).toUpperCase()) ?? utf8("?"), value)).toBe(true);
        expect(equalBytes(fromBase64Url(toBase64Url(value)) ?? utf8("?"), value)).toBe(true);
      }),
    );
  });

  test.each(["a", "0g", "0x", " 00", "00\n", "é0"])("%j is no hex", (text) =>
    expect(fromHex(text)).toBeUndefined(),
  );
  // "A" and "AAAAA" have lengths that no bytes give; the others have characters of other alphabets.
  test.each(["a+b=", "a/b", "ab==", "a b", "ab\n", "A", "AAAAA"])("%j is no base64url", (text) =>
    expect(fromBase64Url(text)).toBeUndefined(),
  );

  test("bits that a last character carries beyond the bytes must be zero: one text for one value", () => {
    expect(fromBase64Url("AA")).toBeDefined();
    expect(fromBase64Url("AB")).toBeUndefined();
    expect(fromBase64Url("AAB")).toBeUndefined();
  });

  test("base64 has its padding, UTF-8 its replacement character", () => {
    expect(toBase64(Uint8Array.of(255))).toBe("/w==");
    expect(fromUtf8(Uint8Array.of(0x61, 0xff))).toBe("a\ufffd");
    expect(fromUtf8(utf8("grüße 文"))).toBe("grüße 文");
  });
});

describe("comparing and joining", () => {
  test("order is that of the bytes, a prefix first", () => {
    expect(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBeLessThan(0);
    expect(compareBytes(Uint8Array.of(0x80), Uint8Array.of(0x7f))).toBeGreaterThan(0);
    expect(compareBytes(Uint8Array.of(), Uint8Array.of())).toBe(0);
  });

  test("equal only with the same length and bytes, in views too", () => {
    const whole = Uint8Array.of(9, 1, 2, 9);
    expect(equalBytes(whole.subarray(1, 3), Uint8Array.of(1, 2))).toBe(true);
    expect(equalBytes(whole.subarray(1, 3), Uint8Array.of(1, 3))).toBe(false);
    expect(equalBytes(whole, whole.subarray(0, 3))).toBe(false);
  });

  test("joined bytes are a copy, a buffer of bytes is not", () => {
    const source = Uint8Array.of(1, 2, 3);
    const joined = concatBytes(source.subarray(1), source.subarray(0, 1));
    expect([...joined]).toEqual([2, 3, 1]);
    const view = bufferOf(source.subarray(1));
    source[1] = 7;
    expect(view[0]).toBe(7);
    expect(joined[0]).toBe(2);
    expect(concatBytes()).toHaveLength(0);
  });
});

describe("numbers", () => {
  test("are big-endian", () => {
    expect(toHex(u32be(0x01020304))).toBe("01020304");
    expect(toHex(u64be(0x102030405))).toBe("0000000102030405");
    expect(readU64be(concatBytes(Uint8Array.of(9), u64be(77)), 1)).toBe(77);
  });

  test("every safe integer comes back, larger ones are not guessed at", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(readU64be(u64be(value))).toBe(value);
      }),
    );
    expect(readU64be(u64be(Number.MAX_SAFE_INTEGER))).toBe(Number.MAX_SAFE_INTEGER);
    expect(readU64be(Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0))).toBeUndefined();
    expect(readU64be(new Uint8Array(8).fill(255))).toBeUndefined();
  });
});
