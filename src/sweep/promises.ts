import { z } from "zod";
import { AskerBudget } from "../base/asker-budget.ts";
import { concatBytes, equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type PeerId, type ShardId, type SwarmId, shardIdBytes } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import { type Holder, type KeptMaps, RunningTime } from "../exchange/index.ts";
import type { Clock, MetaOp, MetaStore, NetMessage, ShardStore } from "../ports/index.ts";
import { SURPLUS_RULES } from "../upkeep/index.ts";
import { codec, count } from "../wire/codec.ts";
import { dataAnswer, type PromiseRequest, shardNote } from "../wire/data.ts";
import { readDescriptor, requireShardIndex } from "../wire/descriptor.ts";
import { type PromisedShard, promiseBody } from "../wire/promise.ts";
import { encodeSigned } from "../wire/signed.ts";

export interface PromisesComponents {
  /** A namespace of its own. */
  readonly store: MetaStore;
  readonly self: PeerId;
  readonly shards: Pick<ShardStore, "stat">;
  readonly holder: Pick<Holder, "guarded" | "answerRefusals">;
  readonly kept: Pick<KeptMaps, "slots">;
  /** Throws where the disk with the shards is not there. */
  readonly disk: { requireServing(): void };
  readonly isLeaving: () => boolean;
  readonly clock: Clock;
  readonly signer: Signer;
  readonly log: Log;
}

const PREFIX = { promise: Uint8Array.of(1), end: Uint8Array.of(2), running: Uint8Array.of(3) } as const;
/** Looked at in one go when those that are over are forgotten. */
const TIDIED_MAX = 10_000;

/**
 * So many members' full share of proofs and promises a day are given to all together. A leaf may cost the reading of a whole shard, and a
 * promise a synced write: a swarm of thousands that sweeps at once has to take turns, and its copies stay for as long.
 */
export const SWEEPERS = 8;

/** Until when, by this home's running time. */
export const promiseEntry = codec("kept promise", z.object({ v: z.literal(1), untilMs: count }).strict());

/**
 * What this node has promised to keep. A promise is on disk before it is given, and lasts for the node's own running time: no clock
 * that is set forward ends it. Only what the map names this node for is promised, and only whole shards that are here.
 */
export class Promises {
  readonly #c: PromisesComponents;
  readonly #swarm: SwarmId;
  readonly #running: RunningTime;
  readonly #given: AskerBudget;
  #tidied: Uint8Array | undefined;
  #count = 0;

  /** @param init.aDay shards promised to one member in a day: as many as it may sweep */
  constructor(components: PromisesComponents, init: { swarm: SwarmId; aDay: number }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#given = new AskerBudget(components.clock, {
      each: init.aDay,
      all: SWEEPERS * init.aDay,
      windowMs: DAY_MS,
    });
    this.#running = new RunningTime(components, PREFIX.running);
  }

  /** Shards promised since the start. */
  get count(): number {
    return this.#count;
  }

  isPromised(shard: ShardId): boolean {
    const until = this.#c.store.get(keyOf(shard));
    return until !== undefined && promiseEntry.decode(until).untilMs > this.#running.ms;
  }

  /** `NOT_ALLOWED` where there is nothing among it that this node could promise. */
  answer(from: PeerId, request: PromiseRequest): Promise<NetMessage> {
    return this.#c.holder.answerRefusals(async () => {
      this.#c.disk.requireServing();
      if (!this.#given.take(from, request.shards.length))
        throw new Fault({ code: "NOT_ALLOWED", reason: "too many promises; ask again later" });
      const shards: PromisedShard[] = [];
      for (const { descriptor, index } of request.shards) {
        const promised = this.#c.isLeaving() ? undefined : await this.#promise(descriptor, index);
        if (promised !== undefined) shards.push(promised);
      }
      if (shards.length === 0)
        throw new Fault({ code: "NOT_ALLOWED", reason: "nothing of this is this node's to keep" });
      this.#count += shards.length;
      this.#c.log.info("shards-promised", { to: from, shards: shards.length });
      const timeMs = this.#c.clock.wallMs();
      const forMs = SURPLUS_RULES.promisedForMs;
      const body = promiseBody.encode({ v: 1, to: from, nonce: request.nonce, timeMs, forMs, shards });
      const swarm = this.#swarm;
      const said = { type: "promise", swarm, incarnation: NO_INCARNATION, epoch: timeMs, body } as const;
      const promise = encodeSigned(signStatement(said, this.#c.signer));
      return { head: dataAnswer.encode({ t: "promised", v: 1, promise }), body: new Uint8Array(0) };
    });
  }

  /** Counts the time, and forgets some of the promises that are over: the next ones when it is called again. */
  async tidy(): Promise<void> {
    await this.#running.saveNowAndThen();
    const over: MetaOp[] = [];
    let seen = 0;
    let last: Uint8Array | undefined;
    const range = { from: this.#tidied ?? PREFIX.promise, to: PREFIX.end, limit: TIDIED_MAX };
    for await (const [key, value] of this.#c.store.scan(range)) {
      seen++;
      last = key.slice();
      if (promiseEntry.decode(value).untilMs <= this.#running.ms) over.push({ type: "delete", key: last });
    }
    this.#tidied = seen < TIDIED_MAX ? undefined : last;
    if (over.length > 0) await this.#c.store.write(over, { sync: false });
  }

  async #promise(envelope: Uint8Array, index: number): Promise<PromisedShard | undefined> {
    const { shards, kept, store, self, holder } = this.#c;
    const descriptor = readDescriptor(envelope, this.#swarm);
    requireShardIndex(descriptor, index);
    const { owner, incarnation, number } = descriptor.segment;
    const id: ShardId = { owner, incarnation, number, index };
    const root = descriptor.roots[index];
    if (root === undefined || (await kept.slots(id, descriptor.class))[index] !== self) return undefined;
    // Under the same lock as whatever might drop it.
    return holder.guarded(id, async () => {
      const held = shards.stat(id);
      if (held === undefined || !equalBytes(shardNote.decode(held.note).root, root)) return undefined;
      const value = promiseEntry.encode({ v: 1, untilMs: this.#running.ms + SURPLUS_RULES.promisedForMs });
      const ops: MetaOp[] = [{ type: "put", key: keyOf(id), value }, this.#running.op()];
      await store.write(ops, { sync: true });
      return { ...id, root };
    });
  }
}

function keyOf(shard: ShardId): Uint8Array {
  return concatBytes(PREFIX.promise, shardIdBytes(shard));
}
