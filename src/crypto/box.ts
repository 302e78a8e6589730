import { assert, unreachable } from "../base/assert.ts";
import { u64be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import {
  AEAD_TAG_BYTES,
  COMMITMENT_BYTES,
  decrypt,
  deriveCommittedKey,
  encryptInto,
  SALT_BYTES,
  SUITE_AES_256_GCM,
  sameSecret,
} from "./aead.ts";
import { hmacSha256, sha256 } from "./hash.ts";
import { infoOf, subkey } from "./kdf.ts";

const BOX_VERSION = 1;
const PREFIX_BYTES = 2;
const SALT_OFFSET = PREFIX_BYTES;
const COMMITMENT_OFFSET = SALT_OFFSET + SALT_BYTES;
const BODY_OFFSET = COMMITMENT_OFFSET + COMMITMENT_BYTES;

/** A box is this much longer than its plaintext. */
export const BOX_OVERHEAD_BYTES = BODY_OFFSET + AEAD_TAG_BYTES;

/** Fresh random bytes that `sealBox` takes. */
export const BOX_RANDOM_BYTES = 32;

const BOX_INFO = infoOf("box", Uint8Array.of(BOX_VERSION, SUITE_AES_256_GCM));

/**
 * Seals a small message under a key of its own: version, suite, salt (32), key commitment (32), ciphertext, tag. The
 * salt is hedged: it depends on the message too, so that a random generator that repeats itself (a cloned virtual
 * machine) never makes one AES key seal two messages. `aad` must be given again to open; `random`: 32 bytes.
 */
export function sealBox(
  key: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
  random: Uint8Array,
): Uint8Array {
  assert(random.length === BOX_RANDOM_BYTES, "a box is sealed with 32 random bytes");
  const digest = sha256(u64be(aad.length), aad, plaintext);
  const salt = hmacSha256(subkey(key, "box-salt"), random, digest);
  const derived = deriveCommittedKey(key, salt, BOX_INFO);
  const box = new Uint8Array(plaintext.length + BOX_OVERHEAD_BYTES);
  box.set([BOX_VERSION, SUITE_AES_256_GCM]);
  box.set(salt, SALT_OFFSET);
  box.set(derived.commitment, COMMITMENT_OFFSET);
  encryptInto(box, BODY_OFFSET, derived.key, 0, aad, plaintext);
  return box;
}

/** What became of opening a box: the two ways to fail mean different things to whoever typed a key. */
export type BoxOpening =
  | { readonly kind: "opened"; readonly plaintext: Uint8Array }
  | { readonly kind: "other-key" }
  | { readonly kind: "damaged" }
  | { readonly kind: "not-a-box"; readonly reason: string }
  | { readonly kind: "newer"; readonly version: number };

export function tryOpenBox(key: Uint8Array, box: Uint8Array, aad: Uint8Array): BoxOpening {
  const [version, suite] = box;
  if (version === undefined || suite === undefined) return { kind: "not-a-box", reason: "it is empty" };
  if (version > BOX_VERSION) return { kind: "newer", version };
  if (version !== BOX_VERSION) return { kind: "not-a-box", reason: `version ${version}` };
  if (suite !== SUITE_AES_256_GCM) return { kind: "not-a-box", reason: `suite ${suite} is not known` };
  if (box.length < BOX_OVERHEAD_BYTES) return { kind: "not-a-box", reason: "it is too short" };
  const derived = deriveCommittedKey(key, box.subarray(SALT_OFFSET, COMMITMENT_OFFSET), BOX_INFO);
  if (!sameSecret(derived.commitment, box.subarray(COMMITMENT_OFFSET, BODY_OFFSET)))
    return { kind: "other-key" };
  const plaintext = decrypt(derived.key, 0, aad, box.subarray(BODY_OFFSET));
  return plaintext === undefined ? { kind: "damaged" } : { kind: "opened", plaintext };
}

/**
 * The plaintext; `what` names the thing in the error. Throws `FORMAT_INVALID` (sealed under another key, with other
 * additional data, or damaged) or `FORMAT_VERSION`.
 */
export function openBox(
  key: Uint8Array,
  box: Uint8Array,
  aad: Uint8Array,
  what = "sealed record",
): Uint8Array {
  const opening = tryOpenBox(key, box, aad);
  if (opening.kind === "opened") return opening.plaintext;
  throw boxFault(opening, what);
}

export function boxFault(opening: Exclude<BoxOpening, { kind: "opened" }>, what: string): Fault {
  switch (opening.kind) {
    case "newer":
      return new Fault({
        code: "FORMAT_VERSION",
        what,
        version: opening.version,
        newestKnown: BOX_VERSION,
      });
    case "not-a-box":
      return new Fault({ code: "FORMAT_INVALID", what, reason: opening.reason });
    case "other-key":
      return new Fault({ code: "FORMAT_INVALID", what, reason: "it is sealed under another key" });
    case "damaged":
      return new Fault({ code: "FORMAT_INVALID", what, reason: "it is damaged, or belongs somewhere else" });
    default:
      return unreachable(opening);
  }
}
