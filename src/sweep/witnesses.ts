import { judgeAnswer } from "../audit/index.ts";
import { must } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type OwnerId, type PeerId, publicKeyOfPeer, type ShardId, type SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { checkSigned } from "../crypto/signed.ts";
import type { PeerClient } from "../exchange/index.ts";
import type { KnownLost } from "../losses/index.ts";
import type { Slot } from "../placement/index.ts";
import { type Clock, type Rng, randomInt } from "../ports/index.ts";
import type { SeenPromise, SeenProof } from "../upkeep/index.ts";
import type { AuditChallenge } from "../wire/audit.ts";
import type { AuditRequest } from "../wire/data.ts";
import type { Descriptor } from "../wire/descriptor.ts";
import { PROMISE_SHARDS_MAX, promiseBody } from "../wire/promise.ts";
import { decodeSigned } from "../wire/signed.ts";

export interface WitnessesComponents {
  readonly self: PeerId;
  readonly client: Pick<PeerClient, "audit" | "promise">;
  readonly lost: Pick<KnownLost, "note">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

/** A copy on this node's disk, and by whom its segment is to be held. */
export interface SurplusCopy {
  readonly id: ShardId;
  readonly envelope: Uint8Array;
  readonly descriptor: Descriptor;
  /** One for each shard. */
  readonly slots: readonly Slot[];
}

/** What was seen of one segment; ages count from here. */
export interface Seen {
  readonly proofs: Map<number, { readonly peer: PeerId; readonly atMs: number }>;
  promise: { readonly peer: PeerId; readonly atMs: number; readonly forMs: number } | undefined;
}

/** Leaves in one message: with the descriptors that go along about 20 KiB. */
const LEAVES_MAX = 32;

interface Question {
  readonly copy: SurplusCopy;
  readonly index: number;
}

/**
 * Has the named holders of surplus copies' segments prove a random leaf of every shard, and those of the copies themselves promise
 * to keep theirs. Only what this node itself was shown and has checked is written down; who does not answer leaves a gap.
 */
export class Witnesses {
  readonly #c: WitnessesComponents;
  readonly #swarm: SwarmId;

  constructor(components: WitnessesComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
  }

  /** By copy, in their order. */
  async ask(copies: readonly SurplusCopy[], signal: AbortSignal): Promise<Seen[]> {
    const seen = new Map(
      copies.map((copy): [SurplusCopy, Seen] => [copy, { proofs: new Map(), promise: undefined }]),
    );
    const questions = copies.flatMap((copy) =>
      copy.slots.flatMap((peer, index) => (peer === undefined ? [] : [{ peer, copy, index }])),
    );
    for (const [peer, asked] of Map.groupBy(questions, ({ peer }) => peer))
      for (const ofOwner of Map.groupBy(asked, ({ copy }) => copy.id.owner).values())
        for (let at = 0; at < ofOwner.length; at += LEAVES_MAX)
          await this.#try(peer, "leaves", signal, () =>
            this.#leaves(peer, ofOwner.slice(at, at + LEAVES_MAX), seen, signal),
          );
    // Nobody is bound by a promise that would come to nothing.
    const proven = copies.filter((copy) => seen.get(copy)?.proofs.size === copy.slots.length);
    const named = (copy: SurplusCopy): PeerId => must(copy.slots[copy.id.index], "slot of a copy");
    for (const [peer, its] of Map.groupBy(proven, named))
      for (let at = 0; at < its.length; at += PROMISE_SHARDS_MAX)
        await this.#try(peer, "promise", signal, () =>
          this.#promise(peer, its.slice(at, at + PROMISE_SHARDS_MAX), seen, signal),
        );
    return copies.map((copy) => must(seen.get(copy), "what was seen"));
  }

  async #try(peer: PeerId, what: string, signal: AbortSignal, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      this.#c.log.info("surplus-unproven", { peer, asked: what, why: messageOf(error) });
    }
  }

  async #leaves(
    peer: PeerId,
    asked: readonly Question[],
    seen: ReadonlyMap<SurplusCopy, Seen>,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, rng, lost } = this.#c;
    const { owner } = must(asked[0], "question").copy.id;
    const challenges = asked.map((one) => challengeOf(one, rng));
    const descriptors = [...new Set(asked.map(({ copy }) => copy))].map(({ envelope }) => envelope);
    const request: AuditRequest = { t: "audit", v: 1, owner, nonce: rng.bytes(32), challenges, descriptors };
    const atMs = clock.monotonicMs();
    const { timeMs, verdicts } = judgeAnswer(
      peer,
      this.#swarm,
      request,
      await client.audit(peer, request, signal),
    );
    for (const [position, { copy, index }] of asked.entries()) {
      const verdict = must(verdicts[position], "verdict");
      if (verdict.is === "proven") seen.get(copy)?.proofs.set(index, { peer, atMs });
      else {
        const cause = verdict.is === "denied" ? "denied" : "wrong";
        await lost.note(peer, [{ shard: { ...copy.id, index }, atMs: timeMs, cause }]);
      }
    }
  }

  async #promise(
    peer: PeerId,
    copies: readonly SurplusCopy[],
    seen: ReadonlyMap<SurplusCopy, Seen>,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, clock, rng } = this.#c;
    const nonce = rng.bytes(32);
    const shards = copies.map(({ envelope, id }) => ({ descriptor: envelope, index: id.index }));
    const owner: OwnerId = must(copies[0], "copy").id.owner;
    const atMs = clock.monotonicMs();
    const signed = decodeSigned(await client.promise(peer, owner, nonce, shards, signal));
    checkSigned(signed, { type: "promise", swarm: this.#swarm, signer: publicKeyOfPeer(peer) });
    const said = promiseBody.decode(signed.body);
    if (said.to !== this.#c.self || said.timeMs !== signed.epoch || !equalBytes(said.nonce, nonce))
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "a promise to somebody else" });
    for (const copy of copies) {
      const { id, descriptor } = copy;
      const root = must(descriptor.roots[id.index], "root");
      const isMeant = said.shards.some((one) => isSame(one, id) && equalBytes(one.root, root));
      const entry = seen.get(copy);
      if (isMeant && entry !== undefined) entry.promise = { peer, atMs, forMs: said.forMs };
    }
  }
}

/** As the verdict wants it, at this moment. */
export function agesOf(
  { proofs, promise }: Seen,
  nowMs: number,
): { proofs: Map<number, SeenProof>; promise: SeenPromise | undefined } {
  return {
    proofs: new Map([...proofs].map(([index, { peer, atMs }]) => [index, { peer, ageMs: nowMs - atMs }])),
    promise: promise === undefined ? undefined : { ...promise, ageMs: nowMs - promise.atMs },
  };
}

function challengeOf({ copy, index }: Question, rng: Rng): AuditChallenge {
  const { incarnation, number } = copy.id;
  const { roots, shardBytes, leafBytes } = copy.descriptor;
  const leaf = randomInt(rng, Math.ceil(shardBytes / leafBytes));
  return { incarnation, number, index, root: must(roots[index], "root"), leaf };
}

function isSame(a: ShardId, b: ShardId): boolean {
  return (
    a.owner === b.owner && a.incarnation === b.incarnation && a.number === b.number && a.index === b.index
  );
}
