import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type Incarnation, type OwnerId, type PeerId, peerIdOf, type SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { RecoveryKeys } from "../crypto/index.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import {
  type CertificateEntry,
  decodeEntry,
  type RecordStore,
  type Roster,
  type RosterChange,
  type RotationEntry,
  signRotation,
} from "../membership/index.ts";
import type { Network, Rng } from "../ports/index.ts";
import { incarnationBody } from "../wire/data.ts";
import { ROTATIONS_MAX } from "../wire/membership.ts";
import { encodeSigned } from "../wire/signed.ts";
import { makeSlot, type SlotContent } from "./slot.ts";

/** What a rotation says that its node knows without any key. */
export interface RotationBasis {
  readonly swarm: SwarmId;
  readonly owner: OwnerId;
  readonly peer: PeerId;
  readonly certificate: Uint8Array;
  readonly generation: number;
  readonly number: number;
  /** Public key of the recovery identity in force. */
  readonly retires: Uint8Array;
  /** The life that goes on. */
  readonly incarnation: Incarnation;
}

type RotationRoster = Pick<Roster, "swarm" | "member" | "certificatesOf" | "rotations">;

/** Throws `NOT_ALLOWED` where this node may not replace its owner's recovery key, with what to do about it. */
export function rotationBasis(
  roster: RotationRoster,
  self: { peer: PeerId; owner: OwnerId; incarnation: Incarnation },
): RotationBasis {
  const { peer, owner, incarnation } = self;
  const member = roster.member(peer);
  if (member === undefined || member.owner !== owner) throw new Fault({ code: "NOT_A_MEMBER" });
  const isOwn = ({ body }: CertificateEntry): boolean => body.by !== "recovery" && body.peer === peer;
  const anchor = roster.certificatesOf(owner).find(isOwn);
  if (anchor === undefined) {
    const reason = `this node was recovered, and an administrator has to confirm it first: "cairn admin confirm ${member.name}"`;
    throw new Fault({ code: "NOT_ALLOWED", reason });
  }
  const { recovery: retires } = member;
  const number = 1 + (roster.rotations.bringing(owner, retires)?.body.number ?? 0);
  if (number > ROTATIONS_MAX)
    throw new Fault({ code: "NOT_ALLOWED", reason: `the recovery key was replaced ${ROTATIONS_MAX} times` });
  const { hash: certificate, body } = anchor;
  // Named by the certificate itself, the chain begins anew.
  const isNamed = equalBytes(body.recovery, retires);
  return {
    ...{ swarm: roster.swarm, owner, peer, certificate, generation: body.generation },
    ...{ number: isNamed ? 1 : number, retires, incarnation },
  };
}

export interface RotationSigners {
  readonly node: Signer;
  readonly owner: Signer;
  readonly old: Signer;
  readonly next: RecoveryKeys;
}

/** The entry that replaces the recovery key, whole: what the new words open, and the life that they stand for. */
export function makeRotation(
  rng: Pick<Rng, "bytes">,
  basis: RotationBasis,
  { node, owner, old, next }: RotationSigners,
  init: { readonly content: SlotContent; readonly nowMs: number },
): RotationEntry {
  const { swarm, incarnation, generation, ...named } = basis;
  const { nowMs } = init;
  const slot = makeSlot(rng, next, init.content, Math.floor(nowMs / 1000));
  const body = incarnationBody.encode({ v: 1, owner: basis.owner, incarnation, timeMs: nowMs });
  const statement = {
    type: "incarnation",
    swarm,
    incarnation: NO_INCARNATION,
    epoch: generation,
    body,
  } as const;
  const life = signStatement(statement, next.identity);
  return signRotation(
    swarm,
    {
      ...{ v: 1, ...named, generation, recovery: next.identity.publicKey },
      ...{ slot: encodeSigned(slot), life: encodeSigned(life), issuedMs: nowMs },
    },
    [node, owner, old, next.identity],
  );
}

export interface RotationWatchComponents {
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly network: Pick<Network, "disconnect">;
  readonly log: Log;
}

/**
 * Makes of every replacement of a recovery key that this node knows what it means here: the new slot and life among the
 * records, the old identity shown out.
 */
export class RotationWatch {
  readonly #c: RotationWatchComponents;
  #publishing: Promise<void> = Promise.resolve();

  constructor(components: RotationWatchComponents) {
    this.#c = components;
  }

  /** Resolves when what is known already has been done; `stop` ends it. */
  async start(): Promise<() => void> {
    const { roster } = this.#c;
    const stop = roster.onChange((change) => this.#heard(change));
    await this.#publish(roster.rotations.inForce());
    return stop;
  }

  async idle(): Promise<void> {
    await this.#publishing;
  }

  #heard({ added }: RosterChange): void {
    const fresh = added.filter((entry) => entry.type === "rotation");
    if (fresh.length === 0) return;
    for (const { body } of fresh) {
      this.#c.log.warn("recovery-key-replaced", {
        owner: body.owner,
        peer: body.peer,
        old: toHex(body.retires),
        recovery: toHex(body.recovery),
      });
      const guest = peerIdOf(body.retires);
      this.#c.network.disconnect(guest).catch((error: unknown) => {
        this.#c.log.warn("disconnect-failed", { peer: guest, why: String(error) });
      });
    }
    this.#publishing = this.#publishing.then(() => this.#publish(this.#c.roster.rotations.inForce()));
  }

  /** Nobody who has the roster can be without them, then, whatever became of who made them. */
  async #publish(rotations: readonly RotationEntry[]): Promise<void> {
    const { records, log } = this.#c;
    const missing = rotations.flatMap(({ body }) => {
      const { recovery: signer, slot, life } = body;
      return [
        ...(records.epochOf({ type: "slot", signer }) === undefined ? [slot] : []),
        ...(records.epochOf({ type: "incarnation", signer }) === undefined ? [life] : []),
      ];
    });
    if (missing.length === 0) return;
    try {
      const outcomes = await records.putAll(missing);
      for (const outcome of outcomes)
        if (outcome instanceof Fault) log.warn("rotation-not-published", { why: outcome.message });
    } catch (error) {
      if (!isFault(error)) throw error;
      log.warn("rotation-not-published", { why: messageOf(error) });
    }
  }
}

/** Takes the entry that the command line signed. Throws `NOT_ALLOWED` for anything but what `basis` says right now. */
export async function applyRotation(
  roster: Roster,
  basis: RotationBasis,
  bytes: Uint8Array,
): Promise<RotationEntry> {
  const entry = decodeEntry(bytes);
  if (entry.type !== "rotation")
    throw new Fault({ code: "FORMAT_INVALID", what: "rotation", reason: `a ${entry.type}` });
  const { body } = entry;
  const isOurs =
    body.owner === basis.owner &&
    body.peer === basis.peer &&
    equalBytes(body.certificate, basis.certificate) &&
    equalBytes(body.retires, basis.retires) &&
    body.number === basis.number;
  if (!isOurs)
    throw new Fault({
      code: "NOT_ALLOWED",
      reason: "the recovery key or this node's certificate has changed meanwhile; try again",
    });
  await roster.apply(entry);
  return entry;
}
