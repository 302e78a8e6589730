import { compareBytes, equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type OwnerId, publicKeyOfPeer } from "../base/ids.ts";
import { checkSigned, NO_INCARNATION } from "../crypto/signed.ts";
import { incarnationBody, slotBody } from "../wire/data.ts";
import { ROTATIONS_MAX } from "../wire/membership.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { CertificateEntry, RotationEntry } from "./entry.ts";

export type KnownRotations = Pick<
  Rotations,
  "of" | "inForce" | "ending" | "retiring" | "bringing" | "follow"
>;

/**
 * Which recovery key took the place of which. For each key that ended one rotation counts: that of the later certificate,
 * then the lower hash. A key that has ended never comes back, whatever is heard later or again.
 */
export class Rotations {
  readonly #byRetired = new Map<string, RotationEntry>();

  clear(): void {
    this.#byRetired.clear();
  }

  /** Of one owner, the oldest first. */
  of(owner: OwnerId): RotationEntry[] {
    const own = [...this.#byRetired.values()].filter(({ body }) => body.owner === owner);
    return own.sort((a, b) => a.body.number - b.body.number || compareBytes(a.hash, b.hash));
  }

  /** Those whose new key is in force: one of each owner that ever replaced its key. */
  inForce(): RotationEntry[] {
    return [...this.#byRetired.values()].filter(
      ({ body }) => this.retiring(body.owner, body.recovery) === undefined,
    );
  }

  /** The one that ended this recovery identity, whoever its owner is. */
  ending(recovery: Uint8Array): RotationEntry | undefined {
    return [...this.#byRetired.values()].find(({ body }) => equalBytes(body.retires, recovery));
  }

  /** The rotation that ended this recovery key. */
  retiring(owner: OwnerId, recovery: Uint8Array): RotationEntry | undefined {
    return this.#byRetired.get(nameOf(owner, recovery));
  }

  /** The one that brought this recovery key. */
  bringing(owner: OwnerId, recovery: Uint8Array): RotationEntry | undefined {
    return [...this.#byRetired.values()].find(
      ({ body }) => body.owner === owner && equalBytes(body.recovery, recovery),
    );
  }

  /** The recovery key that counts where a certificate names this one. */
  follow(owner: OwnerId, named: Uint8Array): Uint8Array {
    let recovery = named;
    for (let steps = 0; steps < ROTATIONS_MAX; steps++) {
      const next = this.retiring(owner, recovery);
      if (next === undefined) return recovery;
      recovery = next.body.recovery;
    }
    return recovery;
  }

  /**
   * Returns those that give way: another one for the same key, and what was built on that. `anchor`: the certificate that
   * it names, if it stands. Throws `NOT_ALLOWED`, or `RECORD_STALE` where another one counts.
   */
  place(entry: RotationEntry, anchor: CertificateEntry | undefined, verify: () => void): RotationEntry[] {
    const { owner, retires, generation, number } = entry.body;
    checkAnchor(entry, anchor);
    const before = this.#chainBefore(entry, anchor);
    const isOld = [retires, ...before].some((key) => equalBytes(key, entry.body.recovery));
    if (isOld) refuse("a recovery key that has ended does not come back");
    const known = this.retiring(owner, retires);
    if (known !== undefined && compareRotations(known, entry) < 0) {
      throw new Fault({ code: "RECORD_STALE", what: "rotation", epoch: number, knownEpoch: generation });
    }
    verify();
    const dropped = known === undefined ? [] : [known, ...this.#take(known)];
    this.#byRetired.set(nameOf(owner, retires), entry);
    return dropped;
  }

  /** Those whose certificate does not stand any more, and what was built on them. */
  dropOrphans(stands: (rotation: RotationEntry) => boolean): RotationEntry[] {
    const orphans = [...this.#byRetired.values()].filter((rotation) => !stands(rotation));
    const dropped = new Set<RotationEntry>();
    for (const orphan of orphans) for (const gone of [orphan, ...this.#take(orphan)]) dropped.add(gone);
    return [...dropped];
  }

  /** The keys that ended before the one that this rotation ends. */
  #chainBefore({ body }: RotationEntry, anchor: CertificateEntry | undefined): Uint8Array[] {
    const { owner, number } = body;
    const keys: Uint8Array[] = [];
    let key = body.retires;
    for (let at = number - 1; at >= 1; at--) {
      const previous = this.bringing(owner, key);
      if (previous?.body.number !== at) return refuse("the rotation that it follows is not known");
      key = previous.body.retires;
      keys.push(key);
    }
    if (number === 1 && (anchor === undefined || !equalBytes(anchor.body.recovery, key)))
      return refuse("the key that it ends is not the one of its certificate");
    return keys;
  }

  /** Takes one out, and what followed it; returns what followed. */
  #take(gone: RotationEntry): RotationEntry[] {
    const { owner, retires, recovery } = gone.body;
    this.#byRetired.delete(nameOf(owner, retires));
    const next = this.retiring(owner, recovery);
    return next === undefined ? [] : [next, ...this.#take(next)];
  }
}

function nameOf(owner: OwnerId, recovery: Uint8Array): string {
  return `${owner}/${toHex(recovery)}`;
}

/** Best first. */
function compareRotations(a: RotationEntry, b: RotationEntry): number {
  return b.body.generation - a.body.generation || compareBytes(a.hash, b.hash);
}

/**
 * Who found the words can make itself the owner's node by them, and has the root then: only a node that a token or
 * administrators let in may replace them. Nor may who has stolen that machine, and not the words.
 */
function checkAnchor({ body, signatures }: RotationEntry, anchor: CertificateEntry | undefined): void {
  if (anchor === undefined) refuse("the certificate of its node is not known");
  if (anchor.body.by === "recovery") refuse("its node was recovered, and no administrator has confirmed it");
  const { owner, peer, generation } = anchor.body;
  if (owner !== body.owner || peer !== body.peer || generation !== body.generation)
    refuse("its certificate is another node's");
  const keys = [publicKeyOfPeer(body.peer), idBytes(body.owner), body.retires, body.recovery];
  const signed = (key: Uint8Array): boolean => signatures.some(({ signer }) => equalBytes(signer, key));
  if (signatures.length !== keys.length || !keys.every(signed))
    refuse("it is not signed by node, owner, the old and the new recovery identity");
}

/** Throws `SIGNATURE_INVALID` or `FORMAT_INVALID` unless the new identity signed both records that it carries. */
export function checkCarried({ body, swarm }: RotationEntry): void {
  const slot = decodeSigned(body.slot);
  const life = decodeSigned(body.life);
  for (const record of [slot, life]) {
    const type = record === slot ? "slot" : "incarnation";
    checkSigned(record, { type, swarm, signer: body.recovery });
    if (record.incarnation !== NO_INCARNATION)
      throw new Fault({ code: "FORMAT_INVALID", what: type, reason: "its signer has no incarnation" });
  }
  const ofSlot = slotBody.decode(slot.body);
  const isOwn = ofSlot.owner === body.owner && ofSlot.swarm === swarm;
  if (!isOwn || incarnationBody.decode(life.body).owner !== body.owner)
    throw new Fault({
      code: "FORMAT_INVALID",
      what: "rotation",
      reason: "what it carries is another owner's",
    });
}

function refuse(reason: string): never {
  throw new Fault({ code: "NOT_ALLOWED", reason });
}
