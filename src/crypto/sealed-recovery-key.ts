import { concatBytes, equalBytes, fromBase64Url, toBase64Url, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type OwnerId, ownerIdOf, type SwarmId, swarmIdOf } from "../base/ids.ts";
import { type Argon2Cost, openPassphraseSlot, sealPassphraseSlot } from "./passphrase-slot.ts";
import { deriveRecoveryKeys } from "./recovery-key.ts";

const PREFIX = "cairn-recovery1-";
const WHAT = "sealed recovery key";
const ID_BYTES = 32;
/** A slot has 138 bytes, the line about 330 characters; the rest is room for comments. */
const TEXT_CHARACTERS_MAX = 64 * 1024;

/** Whose repository the words lead to; in the clear, so that people can tell files apart. */
export interface SealedFor {
  readonly swarm: SwarmId;
  readonly owner: OwnerId;
  /** Public key of the recovery identity. */
  readonly recovery: Uint8Array;
}

function context({ swarm, owner, recovery }: SealedFor): Uint8Array {
  return concatBytes(utf8("cairn/1/recovery-key\0"), idBytes(swarm), idBytes(owner), recovery);
}

/** A line of text: swarm id, owner id, recovery id, and the entropy of the words in a passphrase slot. */
export function sealRecoveryKey(
  entropy: Uint8Array,
  init: Omit<SealedFor, "recovery"> & { passphrase: string; random: Uint8Array; cost?: Argon2Cost },
): string {
  const { swarm, owner, passphrase, random, cost } = init;
  const recovery = deriveRecoveryKeys(entropy).identity.publicKey;
  const slot = sealPassphraseSlot(passphrase, entropy, random, context({ swarm, owner, recovery }), cost);
  return PREFIX + toBase64Url(concatBytes(idBytes(swarm), idBytes(owner), recovery, slot));
}

/** Lines that begin with # are left out. Throws `FORMAT_INVALID`, or `WRONG_KEY` for another passphrase. */
export function openRecoveryKey(text: string, passphrase: string): SealedFor & { entropy: Uint8Array } {
  const line = text
    .slice(0, TEXT_CHARACTERS_MAX)
    .replaceAll(/^\s*#.*$/gm, "")
    .replaceAll(/\s+/g, "");
  const bytes = line.startsWith(PREFIX) ? fromBase64Url(line.slice(PREFIX.length)) : undefined;
  if (bytes === undefined || bytes.length < 3 * ID_BYTES) throw invalid("it is cut off, or something else");
  const part = (i: number): Uint8Array => bytes.slice(i * ID_BYTES, (i + 1) * ID_BYTES);
  const sealed = { swarm: swarmIdOf(part(0)), owner: ownerIdOf(part(1)), recovery: part(2) };
  const entropy = openPassphraseSlot(passphrase, bytes.subarray(3 * ID_BYTES), context(sealed));
  if (!equalBytes(deriveRecoveryKeys(entropy).identity.publicKey, sealed.recovery))
    throw invalid("its recovery id is another's");
  return { ...sealed, entropy };
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: WHAT, reason });
}
