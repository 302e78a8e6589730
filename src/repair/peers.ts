import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import type { OwnerId, PeerId, ShardId, SwarmId } from "../base/ids.ts";
import { shardRoot } from "../erasure/index.ts";
import { IDLE_TIMEOUT_MS, type PeerClient, type Receipt, SilentPeers } from "../exchange/index.ts";
import type { Clock, Network } from "../ports/index.ts";
import {
  type DataAnswer,
  type DataAnswerOf,
  dataAnswer,
  dataRequest,
  type RepairRequest,
} from "../wire/data.ts";
import { type Descriptor, readDescriptor } from "../wire/descriptor.ts";
import { readReceipt } from "../wire/receipt.ts";

const EMPTY = new Uint8Array(0);

export interface RepairLink extends Pick<PeerClient, "getShard" | "put" | "silent"> {
  /** Shards of the claim's row that the peer says to have, of segments above `after`. */
  readonly list: (
    peer: PeerId,
    after: number | undefined,
    signal?: AbortSignal,
  ) => Promise<DataAnswerOf<"listed">>;
}

/** Shows somebody what it may lack to judge a claim; false where there was nothing that it did not know. */
export type Introduce = (peer: PeerId, signal: AbortSignal | undefined) => Promise<boolean>;

/**
 * What a holder asks of others when it repairs for somebody else, every answer checked before it is believed. Faults are
 * those of `PeerClient`.
 */
export class RepairPeers {
  readonly silent: SilentPeers;
  readonly #network: Network;
  readonly #swarm: SwarmId;
  readonly #idleTimeoutMs: number;

  constructor(
    components: { network: Network; clock: Pick<Clock, "monotonicMs"> },
    init: { swarm: SwarmId; idleTimeoutMs?: number },
  ) {
    this.silent = new SilentPeers(components);
    this.#network = components.network;
    this.#swarm = init.swarm;
    this.#idleTimeoutMs = init.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  /** Fetches and puts under this claim, which says why. Who refuses is introduced first, and then asked once more. */
  under(claim: Uint8Array, introduce?: Introduce): RepairLink {
    const again = async <T>(
      peer: PeerId,
      signal: AbortSignal | undefined,
      ask: () => Promise<T>,
    ): Promise<T> => {
      try {
        return await ask();
      } catch (error) {
        if (introduce === undefined || !isFault(error, "PEER_REFUSED")) throw error;
        if (!(await introduce(peer, signal))) throw error;
        return ask();
      }
    };
    return {
      silent: this.silent,
      getShard: (peer, shard, known, signal) =>
        again(peer, signal, () => this.#get(peer, claim, shard, known, signal)),
      put: (peer, shard, descriptor, body, signal) =>
        again(peer, signal, () => this.#put(peer, claim, shard, descriptor, body, signal)),
      list: (peer, after, signal) => again(peer, signal, () => this.#list(peer, claim, after, signal)),
    };
  }

  /** Hands repair records over, and what the owner signed that goes with them; how many of them were taken or known. */
  async push(
    peer: PeerId,
    owner: OwnerId,
    records: readonly Uint8Array[],
    kept: readonly Uint8Array[],
    signal?: AbortSignal,
  ): Promise<DataAnswerOf<"taken">> {
    const request: RepairRequest = { t: "repaired", v: 1, owner, records: [...records], kept: [...kept] };
    return (await this.#ask(peer, request, EMPTY, "taken", undefined, signal)).answer;
  }

  /** Records that the peer has behind `after`, where it has others than those with this digest. */
  async pull(
    peer: PeerId,
    owner: OwnerId,
    digest: Uint8Array,
    after: Uint8Array | undefined,
    signal?: AbortSignal,
  ): Promise<DataAnswerOf<"repairs">> {
    const request: RepairRequest = {
      ...{ t: "repairs", v: 1, owner, digest },
      ...(after === undefined ? {} : { after }),
    };
    return (await this.#ask(peer, request, EMPTY, "repairs", undefined, signal)).answer;
  }

  async #list(
    peer: PeerId,
    claim: Uint8Array,
    after: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<DataAnswerOf<"listed">> {
    const request: RepairRequest = {
      ...{ t: "repair-list", v: 1, claim },
      ...(after === undefined ? {} : { after }),
    };
    return (await this.#ask(peer, request, EMPTY, "listed", undefined, signal)).answer;
  }

  async #get(
    peer: PeerId,
    claim: Uint8Array,
    shard: ShardId,
    known: Descriptor | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ bytes: Uint8Array; descriptor: Descriptor; envelope: Uint8Array }> {
    const { number, index } = shard;
    const request: RepairRequest = { t: "repair-get", v: 1, claim, number, index };
    const { answer, body } = await this.#ask(peer, request, EMPTY, "shard", shard, signal);
    const descriptor = known ?? readDescriptor(answer.descriptor, this.#swarm);
    const root = descriptor.roots[index];
    const isIntact =
      root !== undefined &&
      body.length === descriptor.shardBytes &&
      equalBytes(root, shardRoot(body, index, descriptor.leafBytes));
    if (!isIntact)
      throw new Fault({ code: "SHARD_CORRUPT", shard, peer, reason: "its root is not the descriptor's" });
    return { bytes: body, descriptor, envelope: answer.descriptor };
  }

  async #put(
    peer: PeerId,
    claim: Uint8Array,
    shard: ShardId,
    descriptor: Uint8Array,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Receipt> {
    const request: RepairRequest = { t: "repair-put", v: 1, claim, index: shard.index, descriptor };
    const root = readDescriptor(descriptor, this.#swarm).roots[shard.index] ?? EMPTY;
    const { answer } = await this.#ask(peer, request, body, "receipt", shard, signal);
    const receipt = readReceipt(answer.receipt, this.#swarm, peer, shard, root);
    if (receipt === undefined)
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "a receipt for another shard" });
    return { peer, ...receipt };
  }

  async #ask<T extends DataAnswer["t"]>(
    peer: PeerId,
    request: RepairRequest,
    body: Uint8Array,
    expected: T,
    shard: ShardId | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ answer: DataAnswerOf<T>; body: Uint8Array }> {
    const options = { idleTimeoutMs: this.#idleTimeoutMs, ...(signal === undefined ? {} : { signal }) };
    const message = { head: dataRequest.encode(request), body };
    const reply = await this.#network.request(peer, "data", message, options).catch((error: unknown) => {
      if (error instanceof Fault && error.code === "PEER_TIMEOUT") this.silent.note(peer);
      throw error;
    });
    this.silent.answered(peer);
    const answer = dataAnswer.decode(reply.head);
    if (isAnswer(answer, expected)) return { answer, body: reply.body };
    if (answer.t === "refused") throw refused(peer, answer, shard);
    throw new Fault({ code: "PEER_PROTOCOL", peer, reason: `a ${answer.t} where a ${expected} was due` });
  }
}

function isAnswer<T extends DataAnswer["t"]>(answer: DataAnswer, expected: T): answer is DataAnswerOf<T> {
  return answer.t === expected;
}

function refused(peer: PeerId, answer: DataAnswerOf<"refused">, shard: ShardId | undefined): Fault {
  const { refusal, reason, freeBytes } = answer;
  if (refusal === "no-room") return new Fault({ code: "NO_ROOM", peer, freeBytes });
  if (refusal === "missing" && shard !== undefined) return new Fault({ code: "SHARD_MISSING", shard, peer });
  return new Fault({ code: "PEER_REFUSED", peer, refusal, reason });
}
