import { Fault } from "../base/fault.ts";
import { type PeerId, peerIdOf, publicKeyOfPeer, type ShardId, type SwarmId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import { checkSigned, NO_INCARNATION, type Signed, signedHash, signStatement } from "../crypto/signed.ts";
import type { Receipt } from "../exchange/index.ts";
import type { RepairCause, RepairRecord, SilenceWitness } from "../upkeep/index.ts";
import { receiptBody } from "../wire/data.ts";
import { type Descriptor, readDescriptor } from "../wire/descriptor.ts";
import { nodeStatusCodec } from "../wire/membership.ts";
import { readReceipt } from "../wire/receipt.ts";
import {
  type ClaimCauseBody,
  type RepairBody,
  type RepairCauseBody,
  type RepairClaimBody,
  repairBody,
  repairClaimBody,
} from "../wire/repair.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { silenceBody } from "../wire/silence.ts";

/**
 * Why somebody asks for shards of others, opened: as of a repair, or it admits to have lost its own, or it copies what it can reach
 * while it is cut off.
 */
export type ClaimCause = RepairCause | { readonly kind: "mend" } | { readonly kind: "cut-off" };

/** A claim whose signatures held. */
export interface RepairClaim
  extends Pick<
    RepairRecord,
    "owner" | "incarnation" | "at" | "slot" | "ownerVersion" | "repairs" | "from" | "madeMs"
  > {
  readonly by: PeerId;
  readonly cause: ClaimCause;
}

export interface OpenedRepair {
  readonly record: RepairRecord;
  /** Who made it. */
  readonly by: PeerId;
  readonly descriptor: Descriptor;
}

export function signRepair(body: Omit<RepairBody, "v">, swarm: SwarmId, signer: Signer): Uint8Array {
  return sign("repair", repairBody.encode({ v: 1, ...body }), body.timeMs, swarm, signer);
}

export function signClaim(body: Omit<RepairClaimBody, "v">, swarm: SwarmId, signer: Signer): Uint8Array {
  return sign("repair-claim", repairClaimBody.encode({ v: 1, ...body }), body.timeMs, swarm, signer);
}

/** The time is the epoch too. */
function sign(
  type: "repair" | "repair-claim",
  body: Uint8Array,
  epoch: number,
  swarm: SwarmId,
  signer: Signer,
): Uint8Array {
  return encodeSigned(signStatement({ type, swarm, incarnation: NO_INCARNATION, epoch, body }, signer));
}

/** The signed record of a receipt, which follows from what was asked and what was kept of the answer. */
export function receiptEnvelope(
  shard: ShardId,
  root: Uint8Array,
  { peer, timeMs, signature }: Receipt,
  swarm: SwarmId,
): Uint8Array {
  const { owner, incarnation, number, index } = shard;
  const body = receiptBody.encode({ v: 1, owner, incarnation, number, index, root, timeMs });
  return encodeSigned({
    type: "receipt",
    swarm,
    signer: publicKeyOfPeer(peer),
    incarnation: NO_INCARNATION,
    epoch: timeMs,
    body,
    signature,
  });
}

/** Throws `FORMAT_INVALID` and `SIGNATURE_INVALID`; whether it holds is `checkRepair`'s to say. */
export function openRepair(bytes: Uint8Array, swarm: SwarmId): OpenedRepair {
  const signed = openEnvelope(bytes, "repair", swarm);
  const body = repairBody.decode(signed.body);
  requireTime(body.timeMs, signed, "repair record");
  const { owner, incarnation, slot, to, from, class: classId, partition, fromSegment } = body;
  const descriptor = readDescriptor(body.descriptor, swarm);
  const root = descriptor.roots[slot];
  const isOfRow =
    descriptor.segment.owner === owner &&
    descriptor.segment.incarnation === incarnation &&
    descriptor.class === classId &&
    root !== undefined;
  if (!isOfRow) throw invalid("repair record", "its descriptor is of another row");
  const shard: ShardId = { ...descriptor.segment, index: slot };
  const receipt = readReceipt(body.receipt, swarm, to, shard, root);
  if (receipt === undefined) throw invalid("repair record", "its receipt is for another shard");
  const { ownerVersion, repairs, rank, rosterEpoch } = body;
  return {
    by: peerIdOf(signed.signer),
    descriptor,
    record: {
      ...{ owner, incarnation, at: { classId, partition, fromSegment }, slot, ownerVersion, repairs },
      ...{ from, to, rank, rosterEpoch },
      cause: openCause(body.cause, from, swarm),
      receipt: { peer: to, owner, incarnation, segment: shard.number, index: slot, timeMs: receipt.timeMs },
      madeMs: body.timeMs,
      hash: signedHash(signed),
    },
  };
}

/** Throws `FORMAT_INVALID` and `SIGNATURE_INVALID`. */
export function openClaim(bytes: Uint8Array, swarm: SwarmId): RepairClaim {
  const signed = openEnvelope(bytes, "repair-claim", swarm);
  const body = repairClaimBody.decode(signed.body);
  requireTime(body.timeMs, signed, "repair claim");
  const { owner, incarnation, class: classId, partition, fromSegment, slot, from } = body;
  return {
    ...{ owner, incarnation, at: { classId, partition, fromSegment }, slot, from },
    ownerVersion: body.ownerVersion,
    repairs: body.repairs,
    madeMs: body.timeMs,
    by: peerIdOf(signed.signer),
    cause: hasNoRecord(body.cause) ? { kind: body.cause.t } : openCause(body.cause, from, swarm),
  };
}

/** What was signed in a cause; `from` is who it has to be about. */
function openCause(cause: RepairCauseBody, from: PeerId | undefined, swarm: SwarmId): RepairCause {
  switch (cause.t) {
    case "absent":
      return { kind: "absent", witnesses: cause.witnesses.map((bytes) => openWitness(bytes, from, swarm)) };
    case "convicted":
      if (from === undefined) throw invalid("repair cause", "nobody has the slot");
      return { kind: "convicted", target: from };
    case "draining": {
      const signed = openEnvelope(cause.statement, "status", swarm);
      const { draining, timeMs } = nodeStatusCodec.decode(signed.body);
      if (draining !== true) throw invalid("repair cause", "the holder does not say that it is draining");
      return { kind: "draining", holder: peerIdOf(signed.signer), saidMs: timeMs };
    }
    case "gone-from-roster":
    case "site-rule":
    case "same-peer":
    case "empty":
      return { kind: cause.t };
  }
}

function openWitness(bytes: Uint8Array, from: PeerId | undefined, swarm: SwarmId): SilenceWitness {
  const signed = openEnvelope(bytes, "silence", swarm);
  const { timeMs, silent } = silenceBody.decode(signed.body);
  const about = silent.find(({ peer }) => peer === from);
  if (from === undefined || about === undefined)
    throw invalid("repair cause", "a witness speaks of somebody else");
  return {
    observer: peerIdOf(signed.signer),
    target: from,
    silentSinceMs: about.sinceMs,
    atMs: timeMs,
  };
}

/** A shard that is mended in place, or copied by who is cut off, moves no slot. */
function hasNoRecord(cause: ClaimCauseBody): cause is Extract<ClaimCauseBody, { t: "mend" | "cut-off" }> {
  return cause.t === "mend" || cause.t === "cut-off";
}

/** What of a claim's cause goes into the record. */
export function recordCause(cause: ClaimCauseBody): RepairCauseBody {
  if (hasNoRecord(cause)) throw invalid("repair cause", "by this no slot moves");
  return cause;
}

function openEnvelope(
  bytes: Uint8Array,
  type: "repair" | "repair-claim" | "silence" | "status",
  swarm: SwarmId,
): Signed {
  const signed = decodeSigned(bytes);
  checkSigned(signed, { type, swarm });
  if (signed.incarnation !== NO_INCARNATION) throw invalid(type, "a node has no incarnation");
  return signed;
}

function requireTime(timeMs: number, signed: Signed, what: string): void {
  if (timeMs !== signed.epoch) throw invalid(what, "its time is not its epoch");
}

function invalid(what: string, reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what, reason });
}
