import { EMPTY_BYTES, equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, ownerIdOf, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import { HOUR_MS, KIB, MIB } from "../base/units.ts";
import { NO_INCARNATION, type Signed, type SignedType } from "../crypto/signed.ts";
import { incarnationBody } from "../wire/data.ts";
import { RELEASE_EPOCH_MS, RELEASE_KEPT_MS, releaseBody } from "../wire/live-set.ts";
import { nodeStatusCodec } from "../wire/membership.ts";
import {
  APPROVAL_BYTES_MAX,
  APPROVAL_SLOTS,
  approvalBody,
  PROPOSAL_BYTES_MAX,
  PROPOSAL_SLOTS,
  proposalBody,
} from "../wire/proposal.ts";
import { RECOVERY_USE_KEPT_MS, recoveryUseBody } from "../wire/recovery-use.ts";
import { SILENCE_KEPT_MS, silenceBody } from "../wire/silence.ts";
import {
  CLEARANCE_EPOCH_MS,
  CONVICTION_EPOCH_MS,
  CONVICTION_KEPT_MS,
  clearanceBody,
  convictionBody,
  DOUBT_EPOCH_MS,
  DOUBT_KEPT_MS,
  doubtBody,
} from "../wire/trust.ts";
import { checkApproval, checkProposal } from "./proposals.ts";
import type { Roster } from "./roster.ts";
import { CLOCK_SKEW_MS } from "./rules.ts";

/** A clock that is an hour ahead does not silence its node. */
const SILENCE_AHEAD_MS = 2 * HOUR_MS;

/** Signed statements of which a newer one takes the place of an older one. */
export const RECORD_TYPES = [
  "status",
  "slot",
  "incarnation",
  "recovery-use",
  "silence",
  "proposal",
  "approval",
  "head",
  "map",
  "live-set",
  "conviction",
  "doubt",
  "clearance",
  "release",
] as const satisfies readonly SignedType[];
export type RecordType = (typeof RECORD_TYPES)[number];

export type RecordRoster = Pick<
  Roster,
  "member" | "formerMember" | "memberByRecovery" | "certificatesOf" | "administrators"
>;

/** What the store asks of records of one type. */
export interface RecordRule {
  /** Spread to every member; else handed to the owner's pool. */
  readonly gossip: boolean;
  /** Synced to disk before `put` resolves. */
  readonly synced: boolean;
  readonly bodyBytesMax: number;
  /** How many keys one signer may have: what a member whose key was stolen can make everybody store. */
  readonly keysPerSignerMax: number;
  mayBeSignedBy(signer: Uint8Array, roster: RecordRoster): boolean;
  /** Tells apart what one signer says of different things; at most 64 bytes. May throw `FORMAT_INVALID`. */
  subkey(body: Uint8Array): Uint8Array;
  /** Throws `FORMAT_INVALID` for a body that is not one of this type. */
  check(record: Signed): void;
  /** From when to when it is taken and kept. @default always */
  lifetime?(body: Uint8Array): { readonly fromMs: number; readonly untilMs: number };
}

export type RecordRules = Readonly<Record<RecordType, RecordRule>>;

const byNode: RecordRule["mayBeSignedBy"] = (signer, roster) => roster.member(peerIdOf(signer)) !== undefined;
const byRecovery: RecordRule["mayBeSignedBy"] = (signer, roster) =>
  roster.memberByRecovery(signer) !== undefined;
/** Owners that were removed too: their snapshots stay until the locks end. */
const byOwner: RecordRule["mayBeSignedBy"] = (signer, roster) =>
  roster.certificatesOf(ownerIdOf(signer)).length > 0;

/** What a former member shows is proof by itself, and does not become less when it goes. */
const byNodeEver: RecordRule["mayBeSignedBy"] = (signer, roster) =>
  byNode(signer, roster) || roster.formerMember(peerIdOf(signer)) !== undefined;

/** A present one: what a key that is taken away had proposed, signed or cleared falls with it. */
const byAdministrator: RecordRule["mayBeSignedBy"] = (signer, roster) =>
  roster.administrators().keys.some((key) => equalBytes(key, signer));

const noSubkey = (): Uint8Array => EMPTY_BYTES;
const anyBody = (): void => {};

function checkStatus({ body, incarnation }: Signed): void {
  if (incarnation !== NO_INCARNATION) {
    throw new Fault({ code: "FORMAT_INVALID", what: "node status", reason: "a node has no incarnation" });
  }
  nodeStatusCodec.decode(body);
}

function checkNoIncarnation({ type, incarnation }: Signed): void {
  if (incarnation !== NO_INCARNATION) {
    throw new Fault({ code: "FORMAT_INVALID", what: type, reason: "its signer has no incarnation" });
  }
}

/** Its epoch follows from its time: so a signer cannot make everybody store and pass on more than one in so long. */
function checkTimed(epochMs: number, read: (body: Uint8Array) => { readonly timeMs: number }) {
  return (record: Signed): void => {
    checkNoIncarnation(record);
    if (record.epoch === Math.floor(read(record.body).timeMs / epochMs)) return;
    throw new Fault({
      code: "FORMAT_INVALID",
      what: record.type,
      reason: "its epoch is not that of its time",
    });
  };
}

const lifetimeOf = ({ issuedMs, keptMs }: { readonly issuedMs: number; readonly keptMs: number }) => ({
  fromMs: issuedMs - CLOCK_SKEW_MS,
  untilMs: keptMs,
});

const ofOwner = {
  gossip: false,
  synced: true,
  mayBeSignedBy: byOwner,
  subkey: noSubkey,
  check: anyBody,
};

function lifetimeFrom(timeMs: number, keptMs: number): { fromMs: number; untilMs: number } {
  return { fromMs: timeMs - CLOCK_SKEW_MS, untilMs: timeMs + keptMs };
}

/** Bodies of the types that belong to other folders are checked by rules that those folders put in place of these. */
export const DEFAULT_RECORD_RULES: RecordRules = {
  // Every few minutes from every node: not worth a disk sync, the next one makes up for it.
  status: {
    gossip: true,
    synced: false,
    bodyBytesMax: 4 * KIB,
    keysPerSignerMax: 1,
    mayBeSignedBy: byNode,
    subkey: noSubkey,
    check: checkStatus,
  },
  slot: {
    gossip: true,
    synced: true,
    bodyBytesMax: 4 * KIB,
    keysPerSignerMax: 1,
    mayBeSignedBy: byRecovery,
    subkey: noSubkey,
    check: checkNoIncarnation,
  },
  // One record for each life: a home that recovers or is set back daily for half a year.
  incarnation: {
    gossip: true,
    synced: true,
    bodyBytesMax: 4 * KIB,
    keysPerSignerMax: 256,
    mayBeSignedBy: (signer, roster) => byOwner(signer, roster) || byRecovery(signer, roster),
    subkey: noSubkey,
    // Every put and every head of the owner asks it which life is the one: one that nobody can read would stop them all.
    check: ({ body }) => void incarnationBody.decode(body),
  },
  // One of each owner whose recovery identity was at this member in a month: more are a drill of the whole swarm.
  "recovery-use": {
    gossip: true,
    synced: true,
    bodyBytesMax: KIB,
    keysPerSignerMax: 256,
    mayBeSignedBy: byNode,
    subkey: (body) => idBytes(recoveryUseBody.decode(body).owner),
    check: checkNoIncarnation,
    lifetime: (body) => {
      const { lastMs } = recoveryUseBody.decode(body);
      return { fromMs: lastMs - CLOCK_SKEW_MS, untilMs: lastMs + RECOVERY_USE_KEPT_MS };
    },
  },
  // Worth a disk sync no more than a status: it is renewed while it holds, and counts for hours.
  silence: {
    gossip: true,
    synced: false,
    bodyBytesMax: 16 * KIB,
    keysPerSignerMax: 1,
    mayBeSignedBy: byNode,
    subkey: noSubkey,
    check: (record) => {
      checkNoIncarnation(record);
      silenceBody.decode(record.body);
    },
    lifetime: (body) => {
      const { timeMs } = silenceBody.decode(body);
      return { fromMs: timeMs - SILENCE_AHEAD_MS, untilMs: timeMs + SILENCE_KEPT_MS };
    },
  },
  proposal: {
    gossip: true,
    synced: true,
    bodyBytesMax: PROPOSAL_BYTES_MAX,
    keysPerSignerMax: PROPOSAL_SLOTS,
    mayBeSignedBy: byAdministrator,
    subkey: (body) => Uint8Array.of(proposalBody.decode(body).slot),
    check: checkProposal,
    lifetime: (body) => lifetimeOf(proposalBody.decode(body)),
  },
  approval: {
    gossip: true,
    synced: true,
    bodyBytesMax: APPROVAL_BYTES_MAX,
    keysPerSignerMax: APPROVAL_SLOTS,
    mayBeSignedBy: byAdministrator,
    subkey: (body) => Uint8Array.of(approvalBody.decode(body).slot),
    check: checkApproval,
    lifetime: (body) => lifetimeOf(approvalBody.decode(body)),
  },
  head: { ...ofOwner, bodyBytesMax: 4 * MIB, keysPerSignerMax: 256 },
  // 256 partitions of up to 64 classes and lives.
  map: { ...ofOwner, bodyBytesMax: MIB, keysPerSignerMax: 16_384 },
  "live-set": { ...ofOwner, bodyBytesMax: 4 * MIB, keysPerSignerMax: 256 },
  // Only members that are guilty by their own signatures can be named, so it takes liars to fill these places.
  conviction: {
    gossip: true,
    synced: true,
    bodyBytesMax: 128 * KIB,
    keysPerSignerMax: 32,
    mayBeSignedBy: byNodeEver,
    subkey: (body) => publicKeyOfPeer(convictionBody.decode(body).target),
    check: checkTimed(CONVICTION_EPOCH_MS, convictionBody.decode),
    lifetime: (body) => lifetimeFrom(convictionBody.decode(body).timeMs, CONVICTION_KEPT_MS),
  },
  doubt: {
    gossip: true,
    synced: true,
    bodyBytesMax: KIB,
    keysPerSignerMax: 64,
    mayBeSignedBy: byNode,
    subkey: (body) => publicKeyOfPeer(doubtBody.decode(body).target),
    check: checkTimed(DOUBT_EPOCH_MS, doubtBody.decode),
    lifetime: (body) => lifetimeFrom(doubtBody.decode(body).timeMs, DOUBT_KEPT_MS),
  },
  // Never expires: what it answers may be shown again for ever.
  clearance: {
    gossip: true,
    synced: true,
    bodyBytesMax: KIB,
    keysPerSignerMax: 256,
    mayBeSignedBy: byAdministrator,
    subkey: (body) => publicKeyOfPeer(clearanceBody.decode(body).target),
    check: checkTimed(CLEARANCE_EPOCH_MS, clearanceBody.decode),
    lifetime: (body) => lifetimeFrom(clearanceBody.decode(body).timeMs, Number.POSITIVE_INFINITY),
  },
  release: {
    gossip: true,
    synced: true,
    bodyBytesMax: KIB,
    keysPerSignerMax: 256,
    mayBeSignedBy: byAdministrator,
    subkey: (body) => idBytes(releaseBody.decode(body).owner),
    check: checkTimed(RELEASE_EPOCH_MS, releaseBody.decode),
    lifetime: (body) => lifetimeFrom(releaseBody.decode(body).timeMs, RELEASE_KEPT_MS),
  },
};

export function isRecordType(type: SignedType): type is RecordType {
  return RECORD_TYPES.some((known) => known === type);
}
