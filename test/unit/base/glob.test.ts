import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileGlobs, parsePatternFile } from "../../../src/base/glob.ts";
import { type BytePath, bytePath, bytePathOf } from "../../../src/base/paths.ts";

const excludes = (...patterns: string[]) => compileGlobs(patterns.map(bytePathOf), { coversBelow: true });
const matches = (pattern: string, path: string) => excludes(pattern).matches(bytePathOf(path));
const finds = (pattern: string, path: string, ignoreCase = false) =>
  compileGlobs([bytePathOf(pattern)], { coversBelow: false, ignoreCase }).matches(bytePathOf(path));

describe("patterns", () => {
  it.each([
    // without a slash: any component, and what lies below it
    ["*.o", "/a/b/x.o", true],
    ["*.o", "/a/x.oo", false],
    ["node_modules", "/a/node_modules/x/y", true],
    ["node_modules", "/a/node_modules2", false],
    ["cache", "/", false],
    // with a slash inside: consecutive components, anywhere
    ["build/*.o", "/src/build/a.o", true],
    ["build/*.o", "/src/build/deep/a.o", false],
    ["foo/bar", "/x/foo/bar/baz", true],
    // anchored
    ["/srv/a", "/srv/a", true],
    ["/srv/a", "/srv/a/b", true],
    ["/srv/a", "/srv/ab", false],
    ["/srv/a", "/x/srv/a", false],
    ["/", "/anything", true],
    // double star
    ["/a/**/b", "/a/b", true],
    ["/a/**/b", "/a/x/y/b", true],
    ["/a/**/b", "/c/x/b", false],
    ["/a/**", "/a/x", true],
    ["**/x", "/x", true],
    ["/a/**/b/**/c", "/a/b/b/x/c", true],
    ["/a/**/b/**/c", "/a/b/b/x/d", false],
    // one component
    ["a*b*c", "/aXbbYc", true],
    ["a*b*c", "/aXbbY", false],
    ["?", "/é", true],
    ["?", "/éé", false],
    ["*", "/a\nb", true],
    ["[a-c]x", "/bx", true],
    ["[a-c]x", "/dx", false],
    ["[^a-c]x", "/bx", false],
    ["[!a-c]x", "/dx", true],
    ["[]a]", "/]", true],
    ["[a\\]]", "/]", true],
    ["[a-]", "/-", true],
    ["[à-ï]", "/é", true],
    ["\\*", "/*", true],
    ["\\*", "/x", false],
    // what other matchers take as more than letters
    ["a{b,c}", "/a{b,c}", true],
    ["a{b,c}", "/ab", false],
    ["(a|b)+$^.", "/(a|b)+$^.", true],
    ["a.c", "/abc", false],
    // spelling
    ["foo/", "/x/foo/y", true],
    ["./foo", "/x/foo", true],
    [".*", "/.hidden", true],
    ["*", "/.hidden", true],
  ])("%j on %j: %j", (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });

  it("of a find match the entry itself, not what lies below", () => {
    expect(finds("foo", "/x/foo")).toBe(true);
    expect(finds("foo", "/x/foo/y")).toBe(false);
    expect(finds("x/**", "/x/foo/y")).toBe(true);
    expect(finds("/a/*", "/a/b/c")).toBe(false);
  });

  it("ignore case in and beyond ASCII when asked to", () => {
    expect(finds("*.jpg", "/A.JPG")).toBe(false);
    expect(finds("*.jpg", "/A.JPG", true)).toBe(true);
    expect(finds("ärger*", "/ÄRGER.txt", true)).toBe(true);
    const invalid = bytePath(Uint8Array.of(0x2f, 0x41, 0xe9));
    const pattern = bytePath(Uint8Array.of(0x61, 0xe9));
    expect(compileGlobs([pattern], { coversBelow: false, ignoreCase: true }).matches(invalid)).toBe(true);
  });

  it("see bytes that are not UTF-8 as one character each", () => {
    const path = bytePath(Uint8Array.of(0x2f, 0xe9, 0xff));
    expect(excludes("??").matches(path)).toBe(true);
    expect(excludes("?").matches(path)).toBe(false);
    const exact = compileGlobs([bytePath(Uint8Array.of(0xe9, 0x2a))], { coversBelow: true });
    expect(exact.matches(path)).toBe(true);
    expect(exact.matches(bytePathOf("/é*"))).toBe(false);
  });

  it.each(["[a", "a\\", "[a-", "!", "", "."])("%j is refused", (pattern) => {
    expect(() => excludes(pattern)).toThrow(/is not a pattern/);
  });

  it("with ! take back what earlier ones matched; the last one decides", () => {
    const set = excludes("*.log", "!keep.log", "/a/keep.log");
    expect(set.matches(bytePathOf("/x/b.log"))).toBe(true);
    expect(set.matches(bytePathOf("/x/keep.log"))).toBe(false);
    expect(set.matches(bytePathOf("/a/keep.log"))).toBe(true);
  });
});

describe("mayMatchBelow", () => {
  it.each([
    ["/a/b/*.txt", "/", true],
    ["/a/b/*.txt", "/a", true],
    ["/a/b/*.txt", "/a/b", true],
    ["/a/b/*.txt", "/c", false],
    ["/a/b", "/a/b/c", true],
    ["*.txt", "/c/d", true],
    ["/a/**/x", "/a/q/r", true],
    ["/a/**/x", "/b", false],
  ])("%j below %j: %j", (pattern, directory, expected) => {
    expect(excludes(pattern).mayMatchBelow(bytePathOf(directory))).toBe(expected);
  });

  it("never hides a match", () => {
    const part = fc.constantFrom("a", "b", "ab", "*", "?", "**", "a*");
    const name = fc.constantFrom("a", "b", "ab", "abc");
    const pattern = fc
      .tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 4 }))
      .map(([anchored, parts]) => `${anchored ? "/" : ""}${parts.join("/")}`);
    fc.assert(
      fc.property(
        pattern,
        fc.array(name, { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        (text, names, below) => {
          const set = compileGlobs([bytePathOf(text)], { coversBelow: below });
          if (!set.matches(bytePathOf(`/${names.join("/")}`))) return;
          for (let depth = 0; depth < names.length; depth++) {
            expect(set.mayMatchBelow(bytePathOf(`/${names.slice(0, depth).join("/")}`))).toBe(true);
          }
        },
      ),
    );
  });
});

describe("cost and agreement", () => {
  /** Obvious and exponential: what the patterns mean, by trying every split. */
  function slow(pattern: string, name: string): boolean {
    if (pattern === "") return name === "";
    if (pattern.startsWith("*"))
      return slow(pattern.slice(1), name) || (name !== "" && slow(pattern, name.slice(1)));
    if (name === "") return false;
    return (pattern[0] === "?" || pattern[0] === name[0]) && slow(pattern.slice(1), name.slice(1));
  }

  it("agrees with trying every split", () => {
    const letters = (alphabet: string[], maxLength: number) =>
      fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength }).map((all) => all.join(""));
    fc.assert(
      fc.property(letters(["a", "b", "*", "?"], 8), letters(["a", "b", "c"], 8), (pattern, name) => {
        if (/^\*\*$/.test(pattern)) return;
        expect(finds(`/${pattern}`, `/${name}`)).toBe(slow(pattern, name));
      }),
      { numRuns: 2000 },
    );
  });

  it("does not blow up on the patterns that make regular expressions do so", () => {
    expect(matches(`${"*a".repeat(100)}b`, `/${"a".repeat(250)}`)).toBe(false);
    expect(matches(`${"**/a/".repeat(100)}b`, `/${"a/".repeat(1000)}c`)).toBe(false);
  });
});

it("an exclude file: comments, blank lines, spaces and bytes", () => {
  const text = "# comment\n\n  *.o \r\n!a b\n\\#x\n";
  const bytes = Buffer.concat([Buffer.from(text), Buffer.from([0xe9, 0x0a])]);
  const expected = ["*.o", "!a b", "\\#x", "\xe9"] as unknown[] as BytePath[];
  expect(parsePatternFile(bytes)).toEqual(expected);
});
