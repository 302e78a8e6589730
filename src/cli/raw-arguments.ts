import { Buffer } from "node:buffer";
import { readFileSync, readlinkSync } from "node:fs";
import { Fault } from "../base/fault.ts";

/**
 * Arguments as the bytes that the kernel was given. `process.argv` is decoded UTF-8: a file name in Latin-1
 * arrives there with U+FFFD in it and cannot be found again. The bytes are in /proc/self/cmdline; they are
 * handed on as text in which a byte that is not part of valid UTF-8 is a lone surrogate U+DC00 + byte, as
 * Python's `surrogateescape` has it, so that any parser can be used and `argumentBytes` gives them back exactly.
 */

const LONE_LOW = 0xdc00;

/**
 * Set by a launcher that has to start another Node, whose arguments can only be given as text: base64 of the
 * arguments after the script, each followed by a NUL.
 */
export const RAW_ARGUMENTS_VARIABLE = "CAIRN_RAW_ARGUMENTS";

/** The arguments after the script. */
export function rawArguments(): string[] {
  const decoded = process.argv.slice(2);
  const handed = process.env[RAW_ARGUMENTS_VARIABLE];
  delete process.env[RAW_ARGUMENTS_VARIABLE];
  const candidates = handed === undefined ? [] : [splitAtNul(Buffer.from(handed, "base64"))];
  candidates.push(lastOf(commandLine(), decoded.length));
  const raw = candidates.find((words) => matches(words, decoded));
  return raw?.map(textOfBytes) ?? decoded;
}

/** The bytes of an argument that `rawArguments` gave, or of any text. */
export function argumentBytes(text: string): Uint8Array {
  if (!/[\udc80-\udcff]/.test(text)) return Buffer.from(text, "utf8");
  const parts: Uint8Array[] = [];
  // By code points: the second half of a surrogate pair is no escaped byte.
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const escaped = code >= LONE_LOW + 0x80 && code <= LONE_LOW + 0xff;
    parts.push(escaped ? Uint8Array.of(code - LONE_LOW) : Buffer.from(character, "utf8"));
  }
  return Buffer.concat(parts);
}

/** Escapes what is not UTF-8, so that `argumentBytes(textOfBytes(b))` is `b` for all bytes. */
export function textOfBytes(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let out = "";
  let done = 0;
  while (done < text.length) {
    const valid = validLength(text, done);
    out += text.toString("utf8", done, done + valid);
    done += valid;
    if (done < text.length) out += String.fromCharCode(LONE_LOW + (text[done++] ?? 0));
  }
  return out;
}

/** The working directory's absolute path. `USAGE` when it has been removed. */
export function workingDirectoryBytes(): Uint8Array {
  try {
    process.cwd();
    return readlinkSync("/proc/self/cwd", { encoding: "buffer" });
  } catch (error) {
    const reason = "The current directory does not exist any more; change to another one.";
    throw new Fault({ code: "USAGE", reason }, { cause: error });
  }
}

/** How many bytes from `start` are whole UTF-8 characters: no surrogates, nothing overlong, none above U+10FFFF. */
function validLength(bytes: Buffer, start: number): number {
  let at = start;
  while (at < bytes.length) {
    const width = characterWidth(bytes, at);
    if (width === 0) break;
    at += width;
  }
  return at - start;
}

function characterWidth(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const width =
    lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) === 0xe0 ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (width === 0 || at + width > bytes.length) return 0;
  // Table 3-7 of the Unicode standard: only the second byte's range depends on the first.
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  const next = bytes[at + 1] ?? 0;
  if (next < lowest || next > highest) return 0;
  for (let i = at + 2; i < at + width; i++) {
    if (((bytes[i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return width;
}

function commandLine(): Uint8Array[] {
  try {
    return splitAtNul(readFileSync("/proc/self/cmdline"));
  } catch {
    return [];
  }
}

/** Each word ends with a NUL; an empty one counts. */
function splitAtNul(bytes: Buffer): Uint8Array[] {
  const words: Uint8Array[] = [];
  for (let start = 0, end = bytes.indexOf(0); end >= 0; start = end + 1, end = bytes.indexOf(0, start)) {
    words.push(bytes.subarray(start, end));
  }
  return words;
}

/** Node's own options come before the script and are not in `process.argv`: only the end is comparable. */
function lastOf(words: readonly Uint8Array[], count: number): Uint8Array[] {
  return count === 0 ? [] : words.slice(-count);
}

/** A process may overwrite its command line (`process.title` does), and somebody may have edited `process.argv`. */
function matches(words: readonly Uint8Array[], decoded: readonly string[]): boolean {
  return (
    words.length === decoded.length &&
    words.every((word, i) => Buffer.from(word).toString("utf8") === decoded[i])
  );
}
