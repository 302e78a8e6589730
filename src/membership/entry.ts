import { toHex, u64be, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type SwarmId, swarmIdOf } from "../base/ids.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signer } from "../crypto/sign.ts";
import { checkSigned, NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import {
  type AdministratorsBody,
  administratorsCodec,
  type CertificateBody,
  certificateCodec,
  type DelegationBody,
  delegationCodec,
  ENTRY_BYTES_MAX,
  type EndorsementBody,
  type EntryType,
  endorsementCodec,
  type GenesisBody,
  genesisCodec,
  type RemovalBody,
  type RotationBody,
  removalCodec,
  rosterEntryCodec,
  rotationCodec,
  type WithdrawalBody,
  withdrawalCodec,
} from "../wire/membership.ts";

export interface EntrySignature {
  readonly signer: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * One thing that the roster says, as it is stored and sent. Several keys may sign one body: administrators up
 * to their threshold, a newcomer with all the keys that it claims.
 */
export interface EntryOf<Type extends EntryType, Body> {
  readonly type: Type;
  readonly swarm: SwarmId;
  /** A certificate's generation, a set's or a rotation's number, 0 for a genesis, `issuedMs` for the rest. */
  readonly epoch: number;
  readonly body: Body;
  readonly signatures: readonly EntrySignature[];
  /** The body as it was signed. */
  readonly bodyBytes: Uint8Array;
  /** The whole envelope. */
  readonly bytes: Uint8Array;
  /**
   * 32 bytes that name what is said, without who signed it: with a threshold of two of three, two nodes may
   * hold the same removal with different signatures and still be of one mind.
   */
  readonly hash: Uint8Array;
}

export type GenesisEntry = EntryOf<"genesis", GenesisBody>;
export type DelegationEntry = EntryOf<"delegation", DelegationBody>;
export type CertificateEntry = EntryOf<"certificate", CertificateBody>;
export type RemovalEntry = EntryOf<"removal", RemovalBody>;
export type EndorsementEntry = EntryOf<"endorsement", EndorsementBody>;
export type WithdrawalEntry = EntryOf<"withdrawal", WithdrawalBody>;
export type AdministratorsEntry = EntryOf<"administrators", AdministratorsBody>;
export type RotationEntry = EntryOf<"rotation", RotationBody>;
export type RosterEntry =
  | GenesisEntry
  | DelegationEntry
  | CertificateEntry
  | RemovalEntry
  | EndorsementEntry
  | WithdrawalEntry
  | AdministratorsEntry
  | RotationEntry;

export function swarmIdOfGenesis(bodyBytes: Uint8Array): SwarmId {
  return swarmIdOf(sha256(utf8("cairn/1/genesis\0"), bodyBytes));
}

function entryHash(type: EntryType, swarm: SwarmId, epoch: number, bodyBytes: Uint8Array): Uint8Array {
  return sha256(utf8(`cairn/1/entry/${type}\0`), idBytes(swarm), u64be(epoch), bodyBytes);
}

function signEntry<Type extends EntryType, Body>(
  { type, swarm, epoch }: { type: Type; swarm: SwarmId; epoch: number },
  body: Body,
  bodyBytes: Uint8Array,
  signers: readonly Signer[],
): EntryOf<Type, Body> {
  const statement = { type, swarm, epoch, incarnation: NO_INCARNATION, body: bodyBytes };
  const signatures = signers.map((key) => {
    const { signer, signature } = signStatement(statement, key);
    return { signer, signature };
  });
  const bytes = rosterEntryCodec.encode({ v: 1, type, swarm, epoch, body: bodyBytes, signatures });
  const hash = entryHash(type, swarm, epoch, bodyBytes);
  return { type, swarm, epoch, body, signatures, bodyBytes, bytes, hash };
}

/** The same statement, signed by these: for what several keys sign one after the other. */
export function withSignatures<Entry extends RosterEntry>(
  entry: Entry,
  signatures: readonly EntrySignature[],
): Entry {
  const { type, swarm, epoch, bodyBytes: body } = entry;
  const bytes = rosterEntryCodec.encode({ v: 1, type, swarm, epoch, body, signatures: [...signatures] });
  return { ...entry, signatures, bytes };
}

/** The first administrator signs, though the swarm id pins the body already: all entries have one shape. */
export function signGenesis(body: GenesisBody, first: Signer): GenesisEntry {
  const bodyBytes = genesisCodec.encode(body);
  return signEntry({ type: "genesis", swarm: swarmIdOfGenesis(bodyBytes), epoch: 0 }, body, bodyBytes, [
    first,
  ]);
}

export function signDelegation(
  swarm: SwarmId,
  body: DelegationBody,
  signers: readonly Signer[],
): DelegationEntry {
  const bodyBytes = delegationCodec.encode(body);
  return signEntry({ type: "delegation", swarm, epoch: body.issuedMs }, body, bodyBytes, signers);
}

export function signCertificate(
  swarm: SwarmId,
  body: CertificateBody,
  signers: readonly Signer[],
): CertificateEntry {
  const bodyBytes = certificateCodec.encode(body);
  return signEntry({ type: "certificate", swarm, epoch: body.generation }, body, bodyBytes, signers);
}

export function signRemoval(swarm: SwarmId, body: RemovalBody, signers: readonly Signer[]): RemovalEntry {
  const bodyBytes = removalCodec.encode(body);
  return signEntry({ type: "removal", swarm, epoch: body.issuedMs }, body, bodyBytes, signers);
}

export function signEndorsement(
  swarm: SwarmId,
  body: Omit<EndorsementBody, "administrator">,
  signer: Signer,
): EndorsementEntry {
  const whole = { ...body, administrator: signer.publicKey };
  const bodyBytes = endorsementCodec.encode(whole);
  return signEntry({ type: "endorsement", swarm, epoch: body.issuedMs }, whole, bodyBytes, [signer]);
}

export function signWithdrawal(
  swarm: SwarmId,
  body: WithdrawalBody,
  signers: readonly Signer[],
): WithdrawalEntry {
  const bodyBytes = withdrawalCodec.encode(body);
  return signEntry({ type: "withdrawal", swarm, epoch: body.issuedMs }, body, bodyBytes, signers);
}

export function signAdministrators(
  swarm: SwarmId,
  body: AdministratorsBody,
  signers: readonly Signer[],
): AdministratorsEntry {
  const bodyBytes = administratorsCodec.encode(body);
  return signEntry({ type: "administrators", swarm, epoch: body.number }, body, bodyBytes, signers);
}

export function signRotation(swarm: SwarmId, body: RotationBody, signers: readonly Signer[]): RotationEntry {
  const bodyBytes = rotationCodec.encode(body);
  return signEntry({ type: "rotation", swarm, epoch: body.number }, body, bodyBytes, signers);
}

/** Shape only; `FORMAT_INVALID` otherwise. Who signed is checked by `checkSignatures` and src/membership/rules.ts. */
export function decodeEntry(bytes: Uint8Array): RosterEntry {
  if (bytes.length > ENTRY_BYTES_MAX) {
    throw new Fault({ code: "FORMAT_INVALID", what: "roster entry", reason: "it is too long" });
  }
  const { type, swarm, epoch, body: bodyBytes, signatures } = rosterEntryCodec.decode(bytes);
  const common = {
    swarm,
    epoch,
    bodyBytes,
    bytes,
    signatures,
    hash: entryHash(type, swarm, epoch, bodyBytes),
  };
  switch (type) {
    case "genesis":
      return withEpoch({ ...common, type, body: genesisCodec.decode(bodyBytes) }, 0);
    case "delegation": {
      const body = delegationCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.issuedMs);
    }
    case "certificate": {
      const body = certificateCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.generation);
    }
    case "removal": {
      const body = removalCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.issuedMs);
    }
    case "endorsement": {
      const body = endorsementCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.issuedMs);
    }
    case "administrators": {
      const body = administratorsCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.number);
    }
    case "rotation": {
      const body = rotationCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.number);
    }
    case "withdrawal": {
      const body = withdrawalCodec.decode(bodyBytes);
      return withEpoch({ ...common, type, body }, body.issuedMs);
    }
  }
}

function withEpoch<Entry extends RosterEntry>(entry: Entry, expected: number): Entry {
  if (entry.epoch === expected) return entry;
  throw new Fault({ code: "FORMAT_INVALID", what: entry.type, reason: `its epoch is not ${expected}` });
}

// A newcomer sees the same entries up to three times while it joins, and four verifications of each cost half a
// millisecond: seconds in a swarm of thousands. Bounded, because the entries come from peers.
const VERIFIED_MAX = 65_536;
const verified = new Set<string>();

/** `SIGNATURE_INVALID` unless the entry is of this swarm and every signature on it holds, one per key. */
export function checkSignatures(entry: RosterEntry, swarm: SwarmId): void {
  const parts = entry.signatures.flatMap(({ signer, signature }) => [signer, signature]);
  const name = toHex(sha256(idBytes(swarm), entry.hash, ...parts));
  if (verified.has(name)) return;
  const seen = new Set<string>();
  for (const { signer, signature } of entry.signatures) {
    if (seen.has(toHex(signer))) {
      throw new Fault({ code: "SIGNATURE_INVALID", what: entry.type, reason: "one key signed twice" });
    }
    seen.add(toHex(signer));
    const statement = {
      type: entry.type,
      swarm: entry.swarm,
      epoch: entry.epoch,
      incarnation: NO_INCARNATION,
      body: entry.bodyBytes,
    };
    checkSigned({ ...statement, signer, signature }, { type: entry.type, swarm });
  }
  if (verified.size >= VERIFIED_MAX) verified.clear();
  verified.add(name);
}
