import { wordlist } from "@scure/bip39/wordlists/english.js";
import { assert, must } from "../base/assert.ts";
import { concatBytes, equalBytes, toHex, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { sha256 } from "./hash.ts";
import { RECOVERY_ENTROPY_BYTES, wordsOf } from "./recovery-key.ts";

/** Words of one share: 55 bytes in 40 words of 11 bits, none left over. */
export const SHARE_WORDS = 40;
/** More pieces of paper than this are no help to anybody. */
export const SHARES_MAX = 16;
export const SHARE_SET_BYTES = 6;

const VERSION = 1;
const HEADER_BYTES = 4;
const HINT_BYTES = 8;
const CHECK_BYTES = 4;
const BITS_OF_WORD = 11;
const SHARE_BYTES = HEADER_BYTES + SHARE_SET_BYTES + HINT_BYTES + 1 + RECOVERY_ENTROPY_BYTES + CHECK_BYTES;
/** 16 shares of 40 words come to 6 KB; the rest is room for comments. */
const TEXT_CHARACTERS_MAX = 256 * 1024;

/** One of n pieces of a recovery key, any k of which make it whole and fewer of which say nothing about it. */
export interface RecoveryShare {
  readonly threshold: number;
  readonly shares: number;
  /** 1 .. shares: what is written on the paper. */
  readonly number: number;
  /** Drawn at each split: pieces of two splits of one key do not fit together. */
  readonly set: Uint8Array;
  /** First 8 bytes of the recovery id of the whole key: says whether what was put together is that. */
  readonly hint: Uint8Array;
  /** Where the polynomials were evaluated, 1 .. 255. */
  readonly x: number;
  /** Their values there: one for each byte of the key. */
  readonly y: Uint8Array;
}

export function shareHintOf(recovery: Uint8Array): Uint8Array {
  return recovery.slice(0, HINT_BYTES);
}

export function shareWords(share: RecoveryShare): string[] {
  const { threshold, shares, number, set, hint, x, y } = share;
  assert(set.length === SHARE_SET_BYTES && hint.length === HINT_BYTES, "a share's fields have their widths");
  assert(y.length === RECOVERY_ENTROPY_BYTES && problemOf(share) === undefined, "a share is a proper one");
  const content = concatBytes(
    Uint8Array.of(VERSION, threshold, shares, number),
    set,
    hint,
    Uint8Array.of(x),
    y,
  );
  return wordsOfBytes(concatBytes(content, checkOf(content)));
}

/**
 * All shares in a text, one after the other: numbers, capitals and line breaks do not matter, lines that begin with # are
 * left out. Throws `WRONG_KEY` that says which word of which share is wrong without repeating it.
 */
export function parseShares(text: string): RecoveryShare[] {
  if (text.length > TEXT_CHARACTERS_MAX) throw notAShare("the text is far too long");
  const words = wordsOf(text);
  if (words.length === 0 || words.length % SHARE_WORDS !== 0)
    throw notAShare(`${words.length} words, and each share has ${SHARE_WORDS}`);
  if (words.length > SHARES_MAX * SHARE_WORDS)
    throw notAShare(`there are more than ${SHARES_MAX} in one text`);
  return Array.from({ length: words.length / SHARE_WORDS }, (_, i) => {
    const isOnly = words.length === SHARE_WORDS;
    return parseShare(
      words.slice(i * SHARE_WORDS, (i + 1) * SHARE_WORDS),
      isOnly ? "" : ` of share ${i + 1}`,
    );
  });
}

function parseShare(words: readonly string[], where: string): RecoveryShare {
  const unknown = words.findIndex((word) => !wordlist.includes(word));
  if (unknown >= 0) throw notAShare(`word ${unknown + 1}${where} is not in the list`);
  const bytes = bytesOfWords(words);
  const content = bytes.subarray(0, SHARE_BYTES - CHECK_BYTES);
  if (!equalBytes(checkOf(content), bytes.subarray(SHARE_BYTES - CHECK_BYTES)))
    throw notAShare(`the checksum${where} does not match: a word is wrong, or two are exchanged`);
  const [version = 0, threshold = 0, shares = 0, number = 0] = bytes;
  if (version !== VERSION)
    throw new Fault({
      code: "FORMAT_VERSION",
      what: "share of a recovery key",
      version,
      newestKnown: VERSION,
    });
  const hintAt = HEADER_BYTES + SHARE_SET_BYTES;
  const xAt = hintAt + HINT_BYTES;
  const share = {
    threshold,
    shares,
    number,
    set: bytes.slice(HEADER_BYTES, hintAt),
    hint: bytes.slice(hintAt, xAt),
    x: must(bytes[xAt], "byte of a share"),
    y: bytes.slice(xAt + 1, xAt + 1 + RECOVERY_ENTROPY_BYTES),
  };
  const problem = problemOf(share);
  if (problem !== undefined) throw notAShare(problem);
  return share;
}

/**
 * As many of these as it takes, in the order of their numbers. Throws `WRONG_KEY` where they are too few, or pieces of
 * different things: whatever is put together from such is a wrong key, and never looks like one.
 */
export function sharesToCombine(given: readonly RecoveryShare[]): RecoveryShare[] {
  const [first] = given;
  if (first === undefined) throw notASet("there is none");
  const { threshold, shares } = first;
  const byNumber = new Map<number, RecoveryShare>();
  for (const share of given) {
    if (!equalBytes(share.hint, first.hint)) {
      const [a, b] = [toHex(first.hint), toHex(share.hint)];
      throw notASet(`they are of different recovery keys (${a} and ${b})`);
    }
    if (!equalBytes(share.set, first.set) || share.threshold !== threshold || share.shares !== shares) {
      const [a, b] = [toHex(first.set), toHex(share.set)];
      throw notASet(`the key was split more than once, and they are of different splits (${a} and ${b})`);
    }
    const same = byNumber.get(share.number);
    if (same !== undefined && (same.x !== share.x || !equalBytes(same.y, share.y)))
      throw notASet(`there are two different ones with number ${share.number}`);
    byNumber.set(share.number, share);
  }
  const distinct = [...byNumber.values()].sort((a, b) => a.number - b.number);
  if (new Set(distinct.map(({ x }) => x)).size < distinct.length)
    throw notASet("two of them are the same piece");
  if (distinct.length < threshold) {
    const numbers = distinct.map(({ number }) => number).join(", ");
    throw notASet(
      `it takes ${threshold} different ones of the ${shares}, and here is only number ${numbers}`,
    );
  }
  return distinct.slice(0, threshold);
}

/** Of what was put together from shares that fit together: one of them was altered, checksum and all. */
export function sharesAltered(): Fault {
  return notASet("put together they make another key than they say; one of them was altered");
}

function problemOf({ threshold, shares, number, x }: RecoveryShare): string | undefined {
  if (threshold < 2 || threshold > shares || shares > SHARES_MAX)
    return `${threshold} of ${shares} is no split`;
  if (number < 1 || number > shares) return `it says that it is number ${number} of ${shares}`;
  return x === 0 ? "it has no place" : undefined;
}

function checkOf(content: Uint8Array): Uint8Array {
  return sha256(utf8("cairn/1/recovery-share\0"), content).subarray(0, CHECK_BYTES);
}

function wordsOfBytes(bytes: Uint8Array): string[] {
  assert(bytes.length * 8 === SHARE_WORDS * BITS_OF_WORD, "words without bits left over");
  const words: string[] = [];
  let [pending, bits] = [0, 0];
  for (const byte of bytes) {
    pending = (pending << 8) | byte;
    bits += 8;
    if (bits < BITS_OF_WORD) continue;
    bits -= BITS_OF_WORD;
    words.push(must(wordlist[pending >>> bits], "word of 11 bits"));
    pending &= (1 << bits) - 1;
  }
  return words;
}

function bytesOfWords(words: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(SHARE_BYTES);
  let [pending, bits, at] = [0, 0, 0];
  for (const word of words) {
    pending = (pending << BITS_OF_WORD) | wordlist.indexOf(word);
    bits += BITS_OF_WORD;
    for (; bits >= 8; bits -= 8) bytes[at++] = (pending >>> (bits - 8)) & 0xff;
    pending &= (1 << bits) - 1;
  }
  return bytes;
}

function notAShare(reason: string): Fault {
  return new Fault({ code: "WRONG_KEY", what: "share of a recovery key", reason });
}

function notASet(reason: string): Fault {
  return new Fault({ code: "WRONG_KEY", what: "set of shares", reason });
}
