import { Buffer } from "node:buffer";
import { utf8 } from "./bytes.ts";
import { Fault } from "./fault.ts";
import { type BytePath, bytePath, bytePathOf, displayPath, splitPath } from "./paths.ts";

/*
 * File name patterns as restic has them. Of one component: `*` any run of characters, `?` one character,
 * `[a-z]` one of a class (`[^a-z]` or `[!a-z]` none of it), `\` takes the next character as it is. `**` as a
 * whole component: any number of components, none included. A pattern that begins with `/` starts at the root;
 * any other starts at any component, so that `*.o` finds every object file and `build/*.o` those in any build.
 * `!` in front takes back what earlier patterns matched.
 *
 * Not translated to a regular expression: those, as file matchers make them, take exponential time for
 * patterns like `*a*a*a*b` (picomatch 4.0.7: more than a minute at 25 stars), and know neither bytes nor `!`.
 * Here one star is retried at a time, which is enough: a component costs at most name x pattern steps.
 */

/** A character: a code point, or `INVALID_BYTE` + byte for a byte that is not part of valid UTF-8. */
type Character = number;
// Lone low surrogates, as Python's surrogateescape has them; valid UTF-8 never decodes to one.
const INVALID_BYTE = 0xdc00;

type Matcher =
  | { readonly kind: "one"; readonly character: Character }
  | { readonly kind: "any" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly [Character, Character][] }
  | { readonly kind: "star" };

/** `undefined` stands for `**`. */
type Component = readonly Matcher[] | undefined;

interface Pattern {
  readonly negated: boolean;
  readonly anchored: boolean;
  readonly components: readonly Component[];
}

export interface GlobOptions {
  /** Whether what lies below a matching directory matches too: yes for exclude and include, no for find. */
  readonly coversBelow: boolean;
  readonly ignoreCase?: boolean;
}

export interface GlobSet {
  /** `path` is absolute. Of the patterns that match it the last decides. */
  matches(path: BytePath): boolean;
  /** False only if nothing below `directory` can match, so that a walk may leave it out. */
  mayMatchBelow(directory: BytePath): boolean;
}

/** Throws USAGE for a malformed pattern. */
export function compileGlobs(patterns: readonly BytePath[], options: GlobOptions): GlobSet {
  const fold = options.ignoreCase === true ? foldCase : (path: BytePath) => path;
  const compiled = patterns.map((pattern) => parsePattern(fold(pattern), pattern));
  const charactersOf = (path: BytePath) => splitPath(fold(path)).map(decodeCharacters);
  return {
    matches(path) {
      const names = charactersOf(path);
      let matched = false;
      for (const pattern of compiled) {
        if (pattern.negated === matched && matchesPath(pattern, names, options.coversBelow))
          matched = !matched;
      }
      return matched;
    },
    mayMatchBelow(directory) {
      const names = charactersOf(directory);
      return compiled.some(
        (pattern) => !pattern.negated && reachesBelow(pattern, names, options.coversBelow),
      );
    },
  };
}

/** The patterns of an exclude file: one a line, without blank lines, comments (`#`) and spaces at the ends. */
export function parsePatternFile(bytes: Uint8Array): BytePath[] {
  const lines = bytePath(bytes).split("\n");
  const trimmed = lines.map((line) => line.replace(/^[ \t\r]+|[ \t\r]+$/g, ""));
  return trimmed.filter((line) => line !== "" && !line.startsWith("#")).map((line) => bytePath(latin1(line)));
}

const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

function foldCase(path: BytePath): BytePath {
  const text = displayPath(path);
  // Only names that are UTF-8 have case beyond ASCII.
  if (bytePathOf(text) === path) return bytePath(utf8(text.toLowerCase()));
  return bytePath(latin1(path.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())));
}

function parsePattern(text: BytePath, asGiven: BytePath): Pattern {
  const negated = text.startsWith("!");
  const body = bytePath(latin1(negated ? text.slice(1) : text));
  if (body === "") throw badPattern(asGiven, "it is empty");
  const components = splitPath(body).map((part) =>
    part === "**" ? undefined : parseComponent(part, asGiven),
  );
  const anchored = body.startsWith("/");
  if (components.length === 0 && !anchored) throw badPattern(asGiven, "it names nothing");
  return { negated, anchored, components: anchored ? components : [undefined, ...components] };
}

function badPattern(pattern: BytePath, reason: string): Fault {
  return new Fault({ code: "USAGE", reason: `"${displayPath(pattern)}" is not a pattern: ${reason}.` });
}

function parseComponent(text: BytePath, asGiven: BytePath): Matcher[] {
  const characters = decodeCharacters(text);
  const matchers: Matcher[] = [];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? 0;
    switch (character) {
      case STAR:
        if (matchers.at(-1)?.kind !== "star") matchers.push({ kind: "star" });
        break;
      case QUESTION:
        matchers.push({ kind: "any" });
        break;
      case OPEN: {
        const parsed = parseClass(characters, at + 1);
        if (parsed === undefined) throw badPattern(asGiven, `"[" without its "]"`);
        matchers.push(parsed.matcher);
        at = parsed.end;
        break;
      }
      case BACKSLASH: {
        const escaped = characters[++at];
        if (escaped === undefined) throw badPattern(asGiven, `nothing follows the last "\\"`);
        matchers.push({ kind: "one", character: escaped });
        break;
      }
      default:
        matchers.push({ kind: "one", character });
    }
  }
  return matchers;
}

const codeOf = (character: string): Character => character.charCodeAt(0);
const STAR = codeOf("*");
const QUESTION = codeOf("?");
const OPEN = codeOf("[");
const CLOSE = codeOf("]");
const BACKSLASH = codeOf("\\");
const CARET = codeOf("^");
const BANG = codeOf("!");
const DASH = codeOf("-");

/** From the character after `[`; `end` is the position of its `]`, which as the first member is itself one. */
function parseClass(
  characters: readonly Character[],
  start: number,
): { matcher: Matcher; end: number } | undefined {
  const negated = characters[start] === CARET || characters[start] === BANG;
  const ranges: [Character, Character][] = [];
  let at = negated ? start + 1 : start;
  const take = (): Character | undefined =>
    characters[at] === BACKSLASH ? characters[++at] : characters[at];
  while (characters[at] !== CLOSE || ranges.length === 0) {
    const low = take();
    if (low === undefined) return undefined;
    at++;
    let high: Character | undefined = low;
    if (characters[at] === DASH && characters[at + 1] !== undefined && characters[at + 1] !== CLOSE) {
      at++;
      high = take();
      if (high === undefined) return undefined;
      at++;
    }
    ranges.push([low, high]);
  }
  return { matcher: { kind: "class", negated, ranges }, end: at };
}

/** Components against names, `**` being the star. The same walk as in `matchesName`, one level up. */
function matchesPath(pattern: Pattern, names: readonly Character[][], coversBelow: boolean): boolean {
  const { components } = pattern;
  let component = 0;
  let name = 0;
  let retry: { component: number; name: number } | undefined;
  for (;;) {
    if (component === components.length) {
      if (coversBelow || name === names.length) return true;
    } else if (components[component] === undefined) {
      retry = { component: ++component, name };
      continue;
    } else {
      const candidate = names[name];
      if (candidate !== undefined && matchesName(components[component] ?? [], candidate)) {
        component++;
        name++;
        continue;
      }
    }
    if (retry === undefined || retry.name >= names.length) return false;
    retry.name++;
    ({ component, name } = retry);
  }
}

/** Whether some path below `names` could match: its first components agree with the pattern's. */
function reachesBelow(pattern: Pattern, names: readonly Character[][], coversBelow: boolean): boolean {
  for (const [index, name] of names.entries()) {
    if (index === pattern.components.length) return coversBelow;
    const component = pattern.components[index];
    if (component === undefined) return true;
    if (!matchesName(component, name)) return false;
  }
  return coversBelow || pattern.components.length > names.length;
}

function matchesName(matchers: readonly Matcher[], name: readonly Character[]): boolean {
  let matcher = 0;
  let at = 0;
  let retry: { matcher: number; at: number } | undefined;
  for (;;) {
    const next = matchers[matcher];
    const character = name[at];
    if (next?.kind === "star") {
      retry = { matcher: ++matcher, at };
      continue;
    }
    if (next === undefined && character === undefined) return true;
    if (next !== undefined && character !== undefined && matchesCharacter(next, character)) {
      matcher++;
      at++;
      continue;
    }
    if (retry === undefined || retry.at >= name.length) return false;
    retry.at++;
    ({ matcher, at } = retry);
  }
}

function matchesCharacter(matcher: Matcher, character: Character): boolean {
  switch (matcher.kind) {
    case "one":
      return matcher.character === character;
    case "class":
      return matcher.ranges.some(([low, high]) => low <= character && character <= high) !== matcher.negated;
    default:
      return true;
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Characters of a name, so that `?` takes a whole "é" and never half of it. */
function decodeCharacters(name: BytePath): Character[] {
  const characters: Character[] = [];
  for (let at = 0; at < name.length; ) {
    const length = sequenceBytes(name.charCodeAt(at));
    const text = length === 1 ? undefined : tryUtf8(name.slice(at, at + length));
    const byte = name.charCodeAt(at);
    if (text === undefined) {
      characters.push(byte < 0x80 ? byte : INVALID_BYTE + byte);
      at++;
    } else {
      characters.push(text.codePointAt(0) ?? 0);
      at += length;
    }
  }
  return characters;
}

function sequenceBytes(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function tryUtf8(bytes: string): string | undefined {
  try {
    return strictUtf8.decode(latin1(bytes));
  } catch {
    return undefined;
  }
}
