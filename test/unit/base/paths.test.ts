import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytePath,
  bytePathOf,
  displayPath,
  isPlainName,
  isWithin,
  joinPath,
  normalizePath,
  pathBytes,
  splitPath,
} from "../../../src/base/paths.ts";

const p = bytePathOf;

describe("byte paths", () => {
  test("every byte comes back as it was", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(new Uint8Array(pathBytes(bytePath(bytes)))).toEqual(bytes);
      }),
    );
    const part = Uint8Array.of(1, 2, 0xe9, 3).subarray(1, 3);
    expect([...pathBytes(bytePath(part))]).toEqual([2, 0xe9]);
  });

  test("order of paths is order of bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        const order = Math.sign(Buffer.compare(a, b));
        expect(bytePath(a) < bytePath(b) ? -1 : bytePath(a) > bytePath(b) ? 1 : 0).toBe(order);
      }),
    );
  });

  test("text goes in as UTF-8 and comes out for people", () => {
    expect(p("é").length).toBe(2);
    expect(displayPath(p("/srv/müll/文"))).toBe("/srv/müll/文");
    expect(displayPath(bytePath(Uint8Array.of(0x61, 0xe9)))).toBe("a\ufffd");
    // A byte order mark is part of a name, not a remark about it.
    expect(displayPath(p("\ufeffx"))).toBe("\ufeffx");
  });
});

describe("joining and splitting", () => {
  test("a slash between, but not two", () => {
    expect(joinPath(p("/srv"), p("a"))).toBe("/srv/a");
    expect(joinPath(p("/"), p("a"))).toBe("/a");
  });

  test("empty parts and dots fall out, two dots stay", () => {
    expect(splitPath(p("/a//b/./c/"))).toEqual(["a", "b", "c"]);
    expect(splitPath(p("/"))).toEqual([]);
    expect(splitPath(p(""))).toEqual([]);
    expect(splitPath(p("../a"))).toEqual(["..", "a"]);
  });
});

describe("isPlainName", () => {
  test.each(["", ".", "..", "a/b", "/", "a\0b", "../x"])("%j is none", (name) =>
    expect(isPlainName(p(name))).toBe(false),
  );
  test.each(["a", "...", ".a", " ", "a\\b", "ä", "\n"])("%j is one", (name) =>
    expect(isPlainName(p(name))).toBe(true),
  );
});

describe("isWithin", () => {
  test.each([
    ["/srv/a", "/srv", true],
    ["/srv", "/srv", true],
    ["/srvice", "/srv", false],
    ["/srv", "/srv/a", false],
    ["/srv", "/", true],
    ["/", "/", true],
  ])("%s in %s: %s", (path, ancestor, within) => expect(isWithin(p(path), p(ancestor))).toBe(within));
});

describe("normalizePath", () => {
  test.each([
    ["/a/b/../c", "/x", "/a/c"],
    ["b", "/x/y", "/x/y/b"],
    ["../b", "/x/y", "/x/b"],
    ["../../../..", "/x/y", "/"],
    ["//a///b/.", "/x", "/a/b"],
    ["", "/x", "/x"],
    [".", "/", "/"],
    ["/..", "/x", "/"],
  ])("%j from %j is %j", (path, from, expected) => expect(normalizePath(p(path), p(from))).toBe(expected));
});
