import { systemClock, systemRng } from "../adapters/system.ts";
import { must } from "../base/assert.ts";
import { equalBytes, fromBase64Url, fromHex, toBase64Url, toHex } from "../base/bytes.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { incarnationOf, ownerIdOf, peerIdOf, swarmIdOf } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import {
  deriveOwnerKeys,
  deriveRecoveryKeys,
  RECOVERY_ENTROPY_BYTES,
  recoveryWords,
} from "../crypto/index.ts";
import { signerFromSeed } from "../crypto/sign.ts";
import { decodeEntry, type Roster } from "../membership/index.ts";
import { makeRotation, openSlot, readSlot } from "../node/index.ts";
import type { NewRotation, RotationOptions } from "./local-operations.ts";
import { HOME_FILES, type HomeKeys, readHome, writeSynced } from "./runtime-home.ts";
import { checkKey, entropyOf } from "./runtime-key.ts";

/** A new recovery key, and what puts it in the place of the old one once the daemon has it. Changes nothing. */
export async function newRotation({ home, text, basis }: RotationOptions): Promise<NewRotation> {
  await checkKey({ home, text });
  const { keys } = readHome(home);
  const old = deriveRecoveryKeys(entropyOf(text));
  const entropy = systemRng.bytes(RECOVERY_ENTROPY_BYTES);
  const entry = makeRotation(
    systemRng,
    {
      swarm: swarmIdOf(bytesOf(basis.swarmId)),
      owner: ownerIdOf(bytesOf(basis.ownerId)),
      peer: peerIdOf(signerFromSeed(keys.nodeSeed).publicKey),
      certificate: bytesOf(basis.certificate),
      generation: basis.generation,
      number: basis.number,
      retires: bytesOf(basis.retires),
      incarnation: incarnationOf(bytesOf(basis.incarnation)),
    },
    {
      node: signerFromSeed(keys.nodeSeed),
      owner: deriveOwnerKeys(keys.root).signer,
      old: old.identity,
      next: deriveRecoveryKeys(entropy),
    },
    { content: openSlot(old, keys.slot), nowMs: systemClock.wallMs() },
  );
  return { words: recoveryWords(entropy).split(" "), entry: toBase64Url(entry.bytes) };
}

/**
 * Keeps `keys/recovery.slot` the one that the recovery key in force opens: now, and whenever it is replaced while the
 * daemon runs. What the roster says counts; the file is what `key check` and the next start look at.
 */
export async function followRotations(
  home: string,
  parts: { roster: Roster; keys: HomeKeys; log: Log },
): Promise<{ keys: HomeKeys; stop: () => void }> {
  const { roster, keys, log } = parts;
  let slot = keys.slot;
  const follow = async (): Promise<void> => {
    const { owner, recovery } = readSlot(slot);
    const inForce = roster.rotations.follow(owner, recovery);
    const rotation = roster.rotations.bringing(owner, inForce);
    if (rotation === undefined || equalBytes(inForce, recovery)) return;
    await writeSynced(home, HOME_FILES.slot, rotation.body.slot);
    slot = rotation.body.slot;
    log.debug("recovery-slot-replaced", { recovery: toHex(inForce) });
  };
  await follow();
  let following: Promise<void> = Promise.resolve();
  const stop = roster.onChange(({ added }) => {
    if (!added.some(({ type }) => type === "rotation")) return;
    following = following.then(follow).catch((error: unknown) => {
      log.error("recovery-slot-not-replaced", { why: messageOf(error) });
    });
  });
  return { keys: { ...keys, slot }, stop };
}

/** The same, at once, for whoever looks at the home right after the daemon has said yes. */
export async function keepNewSlot(home: string, entry: string): Promise<void> {
  const decoded = decodeEntry(must(fromBase64Url(entry), "entry in base64url"));
  if (decoded.type !== "rotation")
    throw new Fault({ code: "FORMAT_INVALID", what: "rotation", reason: decoded.type });
  await writeSynced(home, HOME_FILES.slot, decoded.body.slot);
}

function bytesOf(hex: string): Uint8Array {
  return must(fromHex(hex), "hex of the daemon");
}
