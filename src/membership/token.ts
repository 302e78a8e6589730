import { concatBytes, equalBytes, fromBase64Url, toBase64Url, u32be, utf8 } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import { hmacSha256, sha256 } from "../crypto/hash.ts";
import { type Signer, signerFromSeed } from "../crypto/sign.ts";
import { type TokenContent, tokenCodec } from "../wire/membership.ts";

export type { TokenContent } from "../wire/membership.ts";

const PREFIX = "cairn1-";
const VERSION = 1;
const HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
/** Four addresses of 200 characters and the rest come to about 1,700 characters. */
const CHARACTERS_MAX = 2048;

/**
 * `cairn1-` and base64url of: version (1 byte), length of the content (2 bytes, big-endian), content (CBOR),
 * first 4 bytes of SHA-256 over all before. Version and length stand outside the content, so that a newer
 * token and one that was cut off while copying are told apart from a mistyped one.
 */
export function encodeToken(token: TokenContent): string {
  const content = tokenCodec.encode(token);
  const header = Uint8Array.of(VERSION, content.length >> 8, content.length & 0xff);
  const checked = concatBytes(header, content);
  return PREFIX + toBase64Url(concatBytes(checked, sha256(checked).subarray(0, CHECKSUM_BYTES)));
}

/** Throws `TOKEN_INVALID` with what is wrong with it. White space, as a terminal's line wrap leaves, is ignored. */
export function parseToken(text: string): TokenContent {
  const fail = (reason: string): never => {
    throw new Fault({ code: "TOKEN_INVALID", reason });
  };
  if (text.length > 2 * CHARACTERS_MAX) return fail("it is too long");
  const line = text.replaceAll(/\s+/g, "");
  if (!line.startsWith(PREFIX)) return fail(`it does not begin with "${PREFIX}"`);
  if (line.length > CHARACTERS_MAX) return fail("it is too long");
  const payload = line.slice(PREFIX.length);
  if (!/^[A-Za-z0-9_-]*$/.test(payload)) return fail("it has characters that no token has");
  const [version, high, low] = fromBase64Url(payload.slice(0, 4)) ?? [];
  if (version === undefined || high === undefined || low === undefined) return fail("it is cut off");
  if (version > VERSION) return fail("a newer version of cairn made it; update this one");
  if (version !== VERSION) return fail("its version is unknown");
  const expected = Math.ceil(((HEADER_BYTES + (high << 8) + low + CHECKSUM_BYTES) * 4) / 3);
  if (payload.length < expected) return fail("it is cut off; copy all of it");
  if (payload.length > expected) return fail("there is something behind its end");
  const bytes = fromBase64Url(payload);
  if (bytes === undefined) return fail("its last character was changed");
  const checked = bytes.subarray(0, -CHECKSUM_BYTES);
  if (!equalBytes(sha256(checked).subarray(0, CHECKSUM_BYTES), bytes.subarray(-CHECKSUM_BYTES))) {
    return fail("its checksum is wrong; a character was changed");
  }
  try {
    return tokenCodec.decode(checked.subarray(HEADER_BYTES));
  } catch (error) {
    if (isFault(error, "FORMAT_INVALID")) return fail(error.detail.reason);
    throw error;
  }
}

/** The key of one use: HMAC-SHA-256(token seed, "cairn/1/guest" 0x00 use index as u32) is its Ed25519 seed. */
export function guestSigner(token: Pick<TokenContent, "seed">, useIndex: number): Signer {
  return signerFromSeed(guestSeed(token, useIndex));
}

/** 32 bytes: also what a network end is made from that dials as this guest. */
export function guestSeed(token: Pick<TokenContent, "seed">, useIndex: number): Uint8Array {
  return hmacSha256(token.seed, utf8("cairn/1/guest\0"), u32be(useIndex));
}

/** 16 bytes that name a token in its delegations. */
export function tokenId(token: Pick<TokenContent, "seed">): Uint8Array {
  return hmacSha256(token.seed, utf8("cairn/1/token\0")).subarray(0, 16);
}
