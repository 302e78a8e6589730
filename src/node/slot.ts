import { concatBytes, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type OwnerId, type SwarmId } from "../base/ids.ts";
import { SECOND_MS } from "../base/units.ts";
import { type RecoveryKeys, unwrapRoot, wrapRoot } from "../crypto/index.ts";
import { checkSigned, NO_INCARNATION, type Signed, signStatement } from "../crypto/signed.ts";
import type { RecordStore } from "../membership/index.ts";
import type { Rng } from "../ports/index.ts";
import { slotBody } from "../wire/data.ts";
import { decodeSigned } from "../wire/signed.ts";

export interface SlotContent {
  readonly swarm: SwarmId;
  readonly owner: OwnerId;
  readonly root: Uint8Array;
  /** Seed of the administrator whose node this is. */
  readonly administratorSeed?: Uint8Array;
}

function context(purpose: "root" | "administrator", swarm: SwarmId, owner: OwnerId): Uint8Array {
  return concatBytes(utf8(`cairn/1/slot/${purpose}\0`), idBytes(swarm), idBytes(owner));
}

/**
 * The record that leads from the 24 words to the owner's root: kept by every member, opened by the recovery key alone.
 */
export function makeSlot(
  rng: Pick<Rng, "bytes">,
  recovery: RecoveryKeys,
  content: SlotContent,
  epoch: number,
): Signed {
  const { swarm, owner, root, administratorSeed } = content;
  const wrap = (purpose: "root" | "administrator", secret: Uint8Array): Uint8Array =>
    wrapRoot(recovery.wrappingKey, secret, rng.bytes(32), context(purpose, swarm, owner));
  const body = slotBody.encode({
    v: 1,
    swarm,
    owner,
    wrappedRoot: wrap("root", root),
    ...(administratorSeed === undefined
      ? {}
      : { wrappedAdministrator: wrap("administrator", administratorSeed) }),
  });
  return signStatement({ type: "slot", swarm, incarnation: NO_INCARNATION, epoch, body }, recovery.identity);
}

/** What a slot says without its key: of which swarm and owner it is, of which recovery identity, and since when. */
export function readSlot(record: Uint8Array): {
  swarm: SwarmId;
  owner: OwnerId;
  /** Public key. */
  recovery: Uint8Array;
  sinceMs: number;
} {
  const signed = decodeSigned(record);
  const { swarm, owner } = slotBody.decode(signed.body);
  return { swarm, owner, recovery: signed.signer, sinceMs: signed.epoch * SECOND_MS };
}

/** Throws `SIGNATURE_INVALID` for a record that the recovery identity has not signed, `WRONG_KEY` if it does not open. */
export function openSlot(recovery: RecoveryKeys, record: Uint8Array): SlotContent {
  const signed = decodeSigned(record);
  const body = slotBody.decode(signed.body);
  checkSigned(signed, { type: "slot", swarm: body.swarm, signer: recovery.identity.publicKey });
  if (signed.swarm !== body.swarm) {
    throw new Fault({ code: "SIGNATURE_INVALID", what: "slot", reason: "it names another swarm" });
  }
  const { swarm, owner, wrappedRoot, wrappedAdministrator } = body;
  const root = unwrapRoot(recovery.wrappingKey, wrappedRoot, context("root", swarm, owner));
  if (wrappedAdministrator === undefined) return { swarm, owner, root };
  const administratorSeed = unwrapRoot(
    recovery.wrappingKey,
    wrappedAdministrator,
    context("administrator", swarm, owner),
  );
  return { swarm, owner, root, administratorSeed };
}

/** Puts the home's slot among the records that spread to everybody, unless a newer one is there. */
export async function publishSlot(records: RecordStore, slot: Uint8Array): Promise<void> {
  const [outcome] = await records.putAll([slot]);
  if (outcome instanceof Fault && outcome.code !== "RECORD_STALE") throw outcome;
}
