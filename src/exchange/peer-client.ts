import { must } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import {
  type Incarnation,
  type OwnerId,
  type PeerId,
  publicKeyOfPeer,
  type SegmentId,
  type ShardId,
  type SwarmId,
} from "../base/ids.ts";
import { sha256 } from "../crypto/hash.ts";
import { checkSigned, type Signed } from "../crypto/signed.ts";
import { shardRoot, verifyRange } from "../erasure/index.ts";
import type { Clock, NetMessage, Network } from "../ports/index.ts";
import {
  type AuditRequest,
  type DataAnswer,
  type DataAnswerOf,
  type DataRequest,
  dataAnswer,
  dataRequest,
  keptBody,
  type PromiseRequest,
} from "../wire/data.ts";
import { type Descriptor, readDescriptor } from "../wire/descriptor.ts";
import type { LockedBody } from "../wire/lock.ts";
import { readReceipt } from "../wire/receipt.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { Fence } from "./fence.ts";
import { readLocked } from "./read-locked.ts";
import { SilentPeers } from "./silent-peers.ts";

/**
 * Proof that a holder has a shard. The signed record follows from the shard, its root, the time (which is the
 * epoch too) and the signature, so the owner keeps these alone.
 */
export interface Receipt {
  readonly peer: PeerId;
  readonly timeMs: number;
  readonly signature: Uint8Array;
}

export interface ShardBytes {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
  /** The descriptor as it came, signed; checked only where none was known. */
  readonly envelope: Uint8Array;
}

/** A peer on a slow uplink may take long for a shard, but some byte moves within this time. */
export const IDLE_TIMEOUT_MS = 20_000;

const EMPTY = new Uint8Array(0);

/**
 * What an owner asks of one peer, every answer checked before it is believed. Refusals come back as faults:
 * `NO_ROOM`, `SHARD_MISSING`, `FENCED`, or `PEER_REFUSED` with the peer's reason. Bytes that do not have the root of
 * their descriptor are `SHARD_CORRUPT` naming the peer.
 */
export class PeerClient {
  /** Who left a request of this client unanswered lately. */
  readonly silent: SilentPeers;
  readonly #network: Network;
  readonly #swarm: SwarmId;
  readonly #protocol: "data" | "recover";
  readonly #idleTimeoutMs: number;
  readonly #fence: Pick<Fence, "check"> | undefined;

  /** @param init.protocol `recover` for a guest with a recovery identity. @default data */
  constructor(
    components: {
      network: Network;
      clock: Pick<Clock, "monotonicMs">;
      fence?: Pick<Fence, "check">;
    },
    init: { swarm: SwarmId; protocol?: "data" | "recover"; idleTimeoutMs?: number },
  ) {
    this.silent = new SilentPeers(components);
    this.#network = components.network;
    this.#fence = components.fence;
    this.#swarm = init.swarm;
    this.#protocol = init.protocol ?? "data";
    this.#idleTimeoutMs = init.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  /** Resolves with the receipt once the peer has the shard on disk. */
  async put(
    peer: PeerId,
    shard: ShardId,
    descriptor: Uint8Array,
    body: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Receipt> {
    const root = must(readDescriptor(descriptor, this.#swarm).roots[shard.index], "root of our own shard");
    const request: DataRequest = { t: "put", v: 1, index: shard.index, descriptor };
    const { answer } = await this.#ask(peer, request, body, "receipt", { owner: shard.owner, shard }, signal);
    const receipt = readReceipt(answer.receipt, this.#swarm, peer, shard, root);
    if (receipt === undefined)
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "a receipt for another shard" });
    return { peer, ...receipt };
  }

  /** The whole shard, its root checked. Without `known` the descriptor that came along is used, if its owner signed it. */
  async getShard(
    peer: PeerId,
    shard: ShardId,
    known: Descriptor | undefined,
    signal?: AbortSignal,
  ): Promise<ShardBytes> {
    return this.#getIntact(peer, { shard, offset: 0, length: 0, known }, signal, {
      isIntact: (body, root, { shardBytes, leafBytes }) =>
        body.length === shardBytes && equalBytes(root, shardRoot(body, shard.index, leafBytes)),
      otherwise: "its root is not the descriptor's",
    });
  }

  /** A range that begins and ends at leaves (or at the shard's end), its Merkle proof checked. */
  async getRange(
    peer: PeerId,
    shard: ShardId,
    known: Descriptor | undefined,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<ShardBytes> {
    return this.#getIntact(peer, { shard, offset, length, known }, signal, {
      isIntact: (bytes, root, { shardBytes, leafBytes }, proof) =>
        bytes.length === Math.min(length, shardBytes - offset) &&
        verifyRange({
          root,
          index: shard.index,
          shardBytes,
          leafBytes,
          firstLeaf: offset / leafBytes,
          bytes,
          proof,
        }),
      otherwise: "its range does not match the root",
    });
  }

  async #getIntact(
    peer: PeerId,
    asked: { shard: ShardId; offset: number; length: number; known: Descriptor | undefined },
    signal: AbortSignal | undefined,
    check: {
      isIntact: (body: Uint8Array, root: Uint8Array, of: Descriptor, proof: Uint8Array[]) => boolean;
      otherwise: string;
    },
  ): Promise<ShardBytes> {
    const { shard, offset, length } = asked;
    const { answer, body } = await this.#get(peer, shard, offset, length, signal);
    const descriptor = asked.known ?? this.#descriptorOf(shard, answer.descriptor);
    const root = descriptor.roots[shard.index];
    if (root === undefined || !check.isIntact(body, root, descriptor, answer.proof))
      throw new Fault({ code: "SHARD_CORRUPT", shard, peer, reason: check.otherwise });
    return { bytes: body, descriptor, envelope: answer.descriptor };
  }

  /** For each shard asked about, whether the peer says that it has it: a claim, not a proof. */
  async have(
    peer: PeerId,
    owner: OwnerId,
    incarnation: Incarnation,
    shards: readonly (readonly [number: number, index: number])[],
    signal?: AbortSignal,
  ): Promise<boolean[]> {
    const request: DataRequest = {
      t: "have",
      v: 1,
      owner,
      incarnation,
      shards: shards.map(([number, index]): [number, number] => [number, index]),
    };
    const { answer } = await this.#ask(peer, request, EMPTY, "have", { owner }, signal);
    return shards.map((_, position) => (((answer.held[position >> 3] ?? 0) >> (position & 7)) & 1) === 1);
  }

  /** What the peer answers to an audit, as it came: judging it is the auditor's. */
  async audit(
    peer: PeerId,
    request: AuditRequest,
    signal?: AbortSignal,
  ): Promise<{ answer: DataAnswerOf<"audit">; body: Uint8Array }> {
    return this.#ask(peer, request, EMPTY, "audit", { owner: request.owner }, signal);
  }

  /** Tells a peer, signed, which shards this node has lost; resolves with how many of them it took note of. */
  async tellLost(peer: PeerId, owner: OwnerId, notice: Uint8Array, signal?: AbortSignal): Promise<number> {
    const { answer } = await this.#ask(peer, { t: "lost", v: 1, notice }, EMPTY, "noted", { owner }, signal);
    return answer.noted;
  }

  /** The signed promise of a peer to keep its copies of these shards, as it came. */
  async promise(
    peer: PeerId,
    owner: OwnerId,
    nonce: Uint8Array,
    shards: PromiseRequest["shards"],
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const request: DataRequest = { t: "promise", v: 1, nonce, shards };
    const { answer } = await this.#ask(peer, request, EMPTY, "promised", { owner }, signal);
    return answer.promise;
  }

  /** What the peer says, signed, that it keeps of each of these statements; of nothing that it was not asked for. */
  async lock(
    peer: PeerId,
    owner: OwnerId,
    head: Uint8Array,
    locks: readonly Uint8Array[],
    signal?: AbortSignal,
  ): Promise<LockedBody["locks"]> {
    const request: DataRequest = { t: "lock", v: 1, head, locks: [...locks] };
    const { answer } = await this.#ask(peer, request, EMPTY, "locked", { owner }, signal);
    return readLocked(answer.locked, { swarm: this.#swarm, peer, owner, locks });
  }

  /** Resolves once the peer has the records on disk. */
  async keep(
    peer: PeerId,
    owner: OwnerId,
    records: readonly Uint8Array[],
    signal?: AbortSignal,
  ): Promise<void> {
    const request: DataRequest = { t: "keep", v: 1, records: [...records] };
    const { answer } = await this.#ask(peer, request, EMPTY, "kept", { owner }, signal);
    const signed = decodeSigned(answer.receipt);
    checkSigned(signed, { type: "head-receipt", swarm: this.#swarm, signer: publicKeyOfPeer(peer) });
    const kept = keptBody.decode(signed.body);
    const all =
      kept.owner === owner &&
      kept.hashes.length === records.length &&
      kept.hashes.every((hash, i) => equalBytes(hash, sha256(records[i] ?? EMPTY)));
    if (!all) throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "a receipt for other records" });
  }

  /** Resolves once the peer has the live set on disk. */
  async keepLive(
    peer: PeerId,
    owner: OwnerId,
    { record, list }: { readonly record: Uint8Array; readonly list: Uint8Array },
    signal?: AbortSignal,
  ): Promise<void> {
    const request: DataRequest = { t: "live-set", v: 1, record };
    const { answer } = await this.#ask(peer, request, list, "live-kept", { owner }, signal);
    if (!equalBytes(answer.hash, sha256(record)))
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "it keeps another live set" });
  }

  /** The newest live set of a life that the peer keeps; what it says is the caller's to check. */
  async live(
    peer: PeerId,
    owner: OwnerId,
    incarnation: Incarnation,
    signal?: AbortSignal,
  ): Promise<{ readonly record: Uint8Array; readonly list: Uint8Array } | undefined> {
    const request: DataRequest = { t: "live-get", v: 1, owner, incarnation };
    const { answer, body } = await this.#ask(peer, request, EMPTY, "live", { owner }, signal);
    return answer.record === undefined ? undefined : { record: answer.record, list: body };
  }

  /** Heads and maps that the peer keeps for the owner; signatures are the caller's to check. */
  async records(peer: PeerId, owner: OwnerId, signal?: AbortSignal): Promise<Signed[]> {
    const { answer } = await this.#ask(
      peer,
      { t: "records", v: 1, owner },
      EMPTY,
      "records",
      { owner },
      signal,
    );
    return answer.records.map(decodeSigned);
  }

  async #get(
    peer: PeerId,
    shard: ShardId,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<{ answer: DataAnswerOf<"shard">; body: Uint8Array }> {
    const { owner, incarnation, number, index } = shard;
    const request: DataRequest = { t: "get", v: 1, owner, incarnation, number, index, offset, length };
    return this.#ask(peer, request, EMPTY, "shard", { owner, shard }, signal);
  }

  #descriptorOf(segment: SegmentId, bytes: Uint8Array): Descriptor {
    const descriptor = readDescriptor(bytes, this.#swarm);
    const { owner, incarnation, number } = descriptor.segment;
    if (owner !== segment.owner || incarnation !== segment.incarnation || number !== segment.number) {
      throw new Fault({ code: "FORMAT_INVALID", what: "descriptor", reason: "it is of another segment" });
    }
    return descriptor;
  }

  async #ask<T extends DataAnswer["t"]>(
    peer: PeerId,
    request: DataRequest,
    body: Uint8Array,
    expected: T,
    about: Subject,
    signal: AbortSignal | undefined,
  ): Promise<{ answer: DataAnswerOf<T>; body: Uint8Array }> {
    this.#fence?.check();
    const message: NetMessage = { head: dataRequest.encode(request), body };
    const options = { idleTimeoutMs: this.#idleTimeoutMs, ...(signal === undefined ? {} : { signal }) };
    const reply = await this.#network
      .request(peer, this.#protocol, message, options)
      .catch((error: unknown) => {
        if (isFault(error, "PEER_TIMEOUT")) this.silent.note(peer);
        throw error;
      });
    this.silent.answered(peer);
    const answer = dataAnswer.decode(reply.head);
    if (isAnswer(answer, expected)) return { answer, body: reply.body };
    if (answer.t === "refused") throw refused(peer, answer, about);
    throw new Fault({ code: "PEER_PROTOCOL", peer, reason: `a ${answer.t} where a ${expected} was due` });
  }
}

function isAnswer<T extends DataAnswer["t"]>(answer: DataAnswer, expected: T): answer is DataAnswerOf<T> {
  return answer.t === expected;
}

/** What a request is about, for the fault when it is refused. */
interface Subject {
  readonly owner: OwnerId;
  readonly shard?: ShardId;
}

function refused(peer: PeerId, answer: DataAnswerOf<"refused">, { owner, shard }: Subject): Fault {
  if (answer.refusal === "fenced") return new Fault({ code: "FENCED", owner });
  if (answer.refusal === "no-room") return new Fault({ code: "NO_ROOM", peer, freeBytes: answer.freeBytes });
  if (answer.refusal === "missing" && shard !== undefined)
    return new Fault({ code: "SHARD_MISSING", shard, peer });
  return new Fault({ code: "PEER_REFUSED", peer, refusal: answer.refusal, reason: answer.reason });
}
