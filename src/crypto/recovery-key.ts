import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { boxFault, sealBox, tryOpenBox } from "./box.ts";
import { infoOf, subkey } from "./kdf.ts";
import { ROOT_BYTES } from "./keys.ts";
import { type Signer, signerFromSeed } from "./sign.ts";

export const RECOVERY_ENTROPY_BYTES = 32;
export const RECOVERY_WORDS = 24;

/** What a person writes down: the BIP39 sentence of the entropy, English words, one space between. */
export function recoveryWords(entropy: Uint8Array): string {
  assert(entropy.length === RECOVERY_ENTROPY_BYTES, "a recovery key has 256 bits");
  return entropyToMnemonic(entropy, wordlist);
}

/** 24 words of at most 8 letters come to 215 characters; the rest is room for numbers, newlines and a comment. */
const TEXT_CHARACTERS_MAX = 4096;

/**
 * The 32 bytes of entropy in a recovery key as people type and store it: any case and white space, commas, one word a
 * line, numbers before words ("1. word", "2) word", "3 word"), lines that begin with # left out. Throws `WRONG_KEY`; its
 * cause says which word is wrong without repeating it, since it may be nearly right.
 */
export function parseRecoveryKey(text: string): Uint8Array {
  const wrong = (reason: string): Fault =>
    new Fault({ code: "WRONG_KEY", what: "recovery key" }, { cause: new Error(reason) });
  if (text.length > TEXT_CHARACTERS_MAX) throw wrong("the text is far too long");
  const words = wordsOf(text);
  if (words.length !== RECOVERY_WORDS) throw wrong(`${words.length} words instead of ${RECOVERY_WORDS}`);
  const unknown = words.findIndex((word) => !wordlist.includes(word));
  if (unknown >= 0) throw wrong(`word ${unknown + 1} is not in the list`);
  try {
    return new Uint8Array(mnemonicToEntropy(words.join(" "), wordlist));
  } catch {
    throw wrong("the checksum does not match: a word is wrong, or two are exchanged");
  }
}

export function wordsOf(text: string): string[] {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/^\s*#.*$/gm, " ")
    .replace(/\d+\s*[.):-]?/g, " ")
    .split(/[^\p{L}]+/u)
    .filter((word) => word !== "");
}

/** What the recovery key alone gives, without the swarm. */
export interface RecoveryKeys {
  /** Wraps the owner's root. */
  readonly wrappingKey: Uint8Array;
  /** Ed25519 seed of the identity: what dials the swarm as its guest. */
  readonly identitySeed: Uint8Array;
  /** Its public key names the slot record in the swarm; it may read the owner's shards and certify a new life. */
  readonly identity: Signer;
}

/** No stretching: 256 random bits cannot be guessed. */
export function deriveRecoveryKeys(entropy: Uint8Array): RecoveryKeys {
  assert(entropy.length === RECOVERY_ENTROPY_BYTES, "a recovery key has 256 bits");
  const identitySeed = subkey(entropy, "recovery-identity-seed");
  return {
    wrappingKey: subkey(entropy, "recovery-wrapping-key"),
    identitySeed,
    identity: signerFromSeed(identitySeed),
  };
}

/**
 * The owner's root, sealed for the recovery key: fit to be stored with strangers. `random`: 32 bytes. `context`: what
 * the slot belongs to (swarm, recovery id, owner); unwrapping takes the same bytes.
 */
export function wrapRoot(
  wrappingKey: Uint8Array,
  root: Uint8Array,
  random: Uint8Array,
  context: Uint8Array,
): Uint8Array {
  assert(root.length === ROOT_BYTES, "an owner's root has 32 bytes");
  return sealBox(wrappingKey, root, infoOf("wrapped-root", context), random);
}

/** Throws `WRONG_KEY` for another recovery key, `FORMAT_INVALID` when damaged or from another context. */
export function unwrapRoot(wrappingKey: Uint8Array, wrapped: Uint8Array, context: Uint8Array): Uint8Array {
  const opening = tryOpenBox(wrappingKey, wrapped, infoOf("wrapped-root", context));
  if (opening.kind === "other-key") throw new Fault({ code: "WRONG_KEY", what: "recovery key" });
  if (opening.kind !== "opened") throw boxFault(opening, "recovery slot");
  if (opening.plaintext.length !== ROOT_BYTES) {
    throw new Fault({ code: "FORMAT_INVALID", what: "recovery slot", reason: "it holds no root" });
  }
  return opening.plaintext;
}
