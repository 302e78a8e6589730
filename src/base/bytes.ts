import { Buffer } from "node:buffer";

const utf8Encoder = new TextEncoder();
// A byte order mark at the beginning of a file name or text is part of it.
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

export function utf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/** Invalid sequences become U+FFFD: for display, never for names that go back to disk. */
export function fromUtf8(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/** A view of the same memory, for the Buffer methods that Uint8Array lacks. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A plain array, not a Buffer: on those `slice` shares memory instead of copying. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = Buffer.concat(parts);
  return new Uint8Array(joined.buffer, joined.byteOffset, joined.length);
}

/** Smaller memory is not worth the call. */
const LET_GO_BYTES_MIN = 16 * 1024;

/**
 * Gives memory back at once, not when garbage is next collected: a runtime that sees a few megabytes of objects is in
 * no hurry about the hundreds of megabytes of buffers behind them. For bytes that nobody else has, and that nobody looks
 * at again: they are empty afterwards. A part of a larger buffer is left as it is.
 */
export function letGo(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (bytes.byteLength < LET_GO_BYTES_MIN || bytes.byteLength !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Not constant-time: for ids and hashes. Secrets are compared with `timingSafeEqual` in crypto/. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && bufferOf(a).equals(b);
}

/** Byte order, shorter first where one is a prefix of the other. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function toHex(bytes: Uint8Array): string {
  return bufferOf(bytes).toString("hex");
}

/** `undefined` when the text is not an even number of lower- or upper-case hex digits. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Buffer.from(text, "hex");
}

export function toBase64(bytes: Uint8Array): string {
  return bufferOf(bytes).toString("base64");
}

export function toBase64Url(bytes: Uint8Array): string {
  return bufferOf(bytes).toString("base64url");
}

/** `undefined` when it is not the one unpadded base64url text of some bytes. */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64url");
  // Buffer skips what it does not know and drops odd bits: two texts must not pass for the same value.
  return bytes.toString("base64url") === text ? bytes : undefined;
}

export function u32be(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value);
  return out;
}

/** `value` must be a safe integer >= 0. */
export function u64be(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}

/** `undefined` when the number is beyond what a JavaScript number holds exactly. */
export function readU64be(bytes: Uint8Array, offset = 0): number | undefined {
  const value = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(offset);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}
