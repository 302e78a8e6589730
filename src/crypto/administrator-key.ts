import { concatBytes, equalBytes, fromBase64Url, toBase64Url, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type SwarmId } from "../base/ids.ts";
import { type Argon2Cost, openPassphraseSlot, sealPassphraseSlot } from "./passphrase-slot.ts";
import { signerFromSeed } from "./sign.ts";

const PREFIX = "cairn-administrator1-";
const WHAT = "exported administrator's key";
const ID_BYTES = 32;

function context(swarm: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return concatBytes(utf8("cairn/1/administrator-key\0"), swarm, publicKey);
}

/** A line of text: swarm id, public key, and the seed in a passphrase slot. `random` as for the slot. */
export function exportAdministrator(
  seed: Uint8Array,
  init: { swarm: SwarmId; passphrase: string; random: Uint8Array; cost?: Argon2Cost },
): string {
  const swarm = idBytes(init.swarm);
  const { publicKey } = signerFromSeed(seed);
  const slot = sealPassphraseSlot(init.passphrase, seed, init.random, context(swarm, publicKey), init.cost);
  return PREFIX + toBase64Url(concatBytes(swarm, publicKey, slot));
}

/** The seed. Throws `FORMAT_INVALID`, `NOT_ALLOWED` (of another swarm), or `WRONG_KEY` for another passphrase. */
export function importAdministrator(text: string, init: { swarm: SwarmId; passphrase: string }): Uint8Array {
  const line = text.replaceAll(/\s+/g, "");
  const bytes = line.startsWith(PREFIX) ? fromBase64Url(line.slice(PREFIX.length)) : undefined;
  if (bytes === undefined || bytes.length < 2 * ID_BYTES) {
    throw new Fault({ code: "FORMAT_INVALID", what: WHAT, reason: "it is cut off, or something else" });
  }
  const [swarm, publicKey] = [bytes.subarray(0, ID_BYTES), bytes.subarray(ID_BYTES, 2 * ID_BYTES)];
  if (!equalBytes(swarm, idBytes(init.swarm))) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "the key is of another swarm" });
  }
  const seed = openPassphraseSlot(init.passphrase, bytes.subarray(2 * ID_BYTES), context(swarm, publicKey));
  if (equalBytes(signerFromSeed(seed).publicKey, publicKey)) return seed;
  throw new Fault({ code: "FORMAT_INVALID", what: WHAT, reason: "its public key is another's" });
}
