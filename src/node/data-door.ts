import { AskerBudget } from "../base/asker-budget.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import { type OwnerId, type PeerId, type SwarmId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS, HOUR_MS } from "../base/units.ts";
import type { Holder, KeptMaps } from "../exchange/index.ts";
import type { HolderLocks } from "../locks/index.ts";
import type { LossDesk } from "../losses/index.ts";
import type { Clock, NetMessage } from "../ports/index.ts";
import type { RepairDoor } from "../repair/index.ts";
import { type Promises, SWEEPERS } from "../sweep/index.ts";
import {
  type AuditRequest,
  type DataRequest,
  dataAnswer,
  dataRequest,
  isLiveRequest,
  isRepairRequest,
} from "../wire/data.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { answerBytesMax } from "./answer-sizes.ts";
import type { Collection } from "./collection.ts";

export interface DataDoorComponents {
  readonly swarm: SwarmId;
  readonly holder: Holder;
  readonly kept: KeptMaps;
  readonly desk: LossDesk;
  readonly repairs: RepairDoor;
  readonly promises: Promises;
  /** Copies too many that each other member may have proven here in a day. */
  readonly copiesADay: number;
  readonly collection: Pick<Collection, "answer">;
  readonly locks: Pick<HolderLocks, "answer">;
  readonly clock: Clock;
  /** Says a few lines a minute of each peer. */
  readonly log: Log;
}

/** Leaves proven to an owner in an hour: a round by hand asks for 172. Each may cost the reading of a whole shard. */
const OWNER_LEAVES_AN_HOUR = 2048;
/**
 * And in a day to a member that holds shards of the same segments: its part of an audit is a few. One that has thrown its own
 * away could answer audits with more of them.
 */
const ROW_LEAVES_A_DAY = 256;

/** The handler of protocol `data`: who asks for what, before the holder answers. */
export class DataDoor {
  readonly #c: DataDoorComponents;
  readonly #owners: AskerBudget;
  readonly #rows: AskerBudget;
  readonly #others: AskerBudget;

  constructor(components: DataDoorComponents) {
    this.#c = components;
    this.#owners = new AskerBudget(components.clock, { each: OWNER_LEAVES_AN_HOUR, windowMs: HOUR_MS });
    this.#rows = new AskerBudget(components.clock, { each: ROW_LEAVES_A_DAY, windowMs: DAY_MS });
    this.#others = new AskerBudget(components.clock, {
      each: ROW_LEAVES_A_DAY + components.copiesADay,
      all: SWEEPERS * (ROW_LEAVES_A_DAY + components.copiesADay),
      windowMs: DAY_MS,
    });
  }

  /** @param owner for whom this member speaks */
  async answer(from: PeerId, owner: OwnerId, message: NetMessage, mayWrite: boolean): Promise<NetMessage> {
    const { holder, desk } = this.#c;
    const request = dataRequest.decode(message.head);
    if (request.t === "lost") {
      return holder.answerRefusals(async () => {
        const noted = await desk.take(from, request);
        return { head: dataAnswer.encode({ t: "noted", v: 1, noted }), body: EMPTY_BYTES };
      });
    }
    if (isLiveRequest(request)) return this.#c.collection.answer(owner, request, message.body, mayWrite);
    if (request.t === "promise") return this.#c.promises.answer(from, request);
    if (request.t === "lock") return this.#c.locks.answer(from, owner, request, mayWrite);
    if (isRepairRequest(request)) return this.#c.repairs.answer(from, request, message.body, mayWrite);
    if (request.t === "audit") return holder.answerRefusals(() => this.#prove(from, owner, request));
    if ((request.t === "get" || request.t === "have" || request.t === "records") && request.owner !== owner)
      this.#name(from, request);
    return holder.answer(owner, request, message.body, mayWrite);
  }

  /** How large the answer can get. */
  answerBytesMax(owner: OwnerId, { head }: NetMessage): number {
    return answerBytesMax(this.#c.holder, owner, dataRequest.decode(head));
  }

  async #prove(from: PeerId, owner: OwnerId, request: AuditRequest): Promise<NetMessage> {
    try {
      const leaves = request.challenges.length;
      if (request.owner === owner) requireWithin(this.#owners, from, leaves);
      else {
        requireWithin(this.#others, from, leaves);
        requireWithin(this.#rows, from, await this.#requireSharedRow(from, request));
      }
    } catch (error) {
      if (!isFault(error, "NOT_ALLOWED")) throw error;
      this.#c.log.warn("audit-refused", { from, owner: request.owner, reason: error.message });
      throw error;
    }
    return this.#c.holder.proveTo(request);
  }

  /**
   * Leaves are parts of shards: only whoever holds shards of the same segments may see a few of them, and whoever has a copy
   * that it may drop. How many are of segments of which the map names it for a shard.
   */
  async #requireSharedRow(
    from: PeerId,
    { owner, challenges, descriptors = [] }: AuditRequest,
  ): Promise<number> {
    let shared = 0;
    let shown: ReadonlySet<string> | undefined;
    for (const { incarnation, number } of challenges) {
      const segment = { owner, incarnation, number };
      const rows = await this.#c.kept.slotsOfAnyClass(segment);
      if (rows.some((slots) => slots.includes(from))) {
        shared++;
        continue;
      }
      // A descriptor lies beside a shard: who has one had a shard of the segment, though the map may not name it any more.
      shown ??= new Set(descriptors.map((one) => segmentKey(readDescriptor(one, this.#c.swarm).segment)));
      if (!shown.has(segmentKey(segment)))
        throw new Fault({
          code: "NOT_ALLOWED",
          reason: "leaves are proven to their owner and to holders of the segment",
        });
    }
    return shared;
  }

  /** Whoever asks for what is not its own may be one that has thrown its shards away and answers audits with others'. */
  #name(from: PeerId, { t, owner }: Extract<DataRequest, { t: "get" | "have" | "records" }>): void {
    this.#c.log.warn("foreign-shard-refused", { from, owner, asked: t });
  }
}

function requireWithin(budget: AskerBudget, from: PeerId, leaves: number): void {
  if (!budget.take(from, leaves))
    throw new Fault({ code: "NOT_ALLOWED", reason: "too many leaves; ask again later" });
}
