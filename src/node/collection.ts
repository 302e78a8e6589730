import { EMPTY_BYTES } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type OwnerId, type SwarmId } from "../base/ids.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import type { Fence, Holder } from "../exchange/index.ts";
import { Collector, type LiveSets } from "../gc/index.ts";
import type { SegmentLocks } from "../locks/index.ts";
import type { RecordStore, Roster } from "../membership/index.ts";
import { type NetMessage, prefixed } from "../ports/index.ts";
import type { Presence } from "../presence/index.ts";
import type { Promises } from "../sweep/index.ts";
import { mayDrop, type UpkeepSettings } from "../upkeep/index.ts";
import { dataAnswer, type LiveRequest } from "../wire/data.ts";
import { RELEASE_EPOCH_MS, RELEASE_KEPT_MS, releaseBody } from "../wire/live-set.ts";
import { NAMESPACE, type NodePorts } from "./ports.ts";

export interface CollectionComponents extends NodePorts {
  readonly liveSets: LiveSets;
  readonly holder: Holder;
  readonly promises: Promises;
  readonly locks: SegmentLocks;
  readonly presence: Presence;
  readonly records: RecordStore;
  readonly roster: Roster;
  readonly fence: Pick<Fence, "why">;
  readonly disk: { requireServing(): void };
}

/** What this node does for owners that do not want some of their shards any more. */
export class Collection {
  readonly collector: Collector;
  readonly liveSets: LiveSets;
  readonly #c: CollectionComponents;

  constructor(c: CollectionComponents, init: { swarm: SwarmId; settings: UpkeepSettings }) {
    this.#c = c;
    this.liveSets = c.liveSets;
    this.collector = new Collector(
      {
        ...{ ...c, store: prefixed(c.meta, NAMESPACE.collection), locks: c.locks },
        isReleased: (owner) => this.isReleased(owner),
        mayAct: () => c.fence.why === undefined && mayDrop(c.presence.weather()),
      },
      init.settings.collection,
    );
  }

  /** Whether as many administrators as it takes have let what live sets of this owner remove beyond the brake. */
  isReleased(owner: OwnerId): boolean {
    const { keys, threshold } = this.#c.roster.administrators();
    const nowMs = this.#c.clock.wallMs();
    let released = 0;
    for (const key of keys)
      for (const { body } of this.#c.records.ofType("release", key)) {
        const said = releaseBody.decode(body);
        const isNow = said.timeMs + RELEASE_KEPT_MS > nowMs;
        if (said.owner === owner && isNow) released++;
      }
    return released >= threshold;
  }

  /** An administrator says that what live sets of this owner remove is meant. Until when that holds. */
  async release(owner: OwnerId, administrator: Signer): Promise<number> {
    const { records, roster, clock } = this.#c;
    const timeMs = clock.wallMs();
    const epoch = Math.floor(timeMs / RELEASE_EPOCH_MS);
    const body = releaseBody.encode({ v: 1, owner, timeMs });
    const said = { type: "release", swarm: roster.swarm, incarnation: NO_INCARNATION, epoch, body } as const;
    const known = records.get({ type: "release", signer: administrator.publicKey, subkey: idBytes(owner) });
    // Twice within a minute is once.
    if (known?.epoch !== epoch) await records.put(signStatement(said, administrator));
    this.#c.log.warn("deletion-released", { owner, untilMs: timeMs + RELEASE_KEPT_MS });
    this.collector.wake();
    return timeMs + RELEASE_KEPT_MS;
  }

  /** @param asOwner for whom the other end may speak */
  answer(asOwner: OwnerId, request: LiveRequest, list: Uint8Array, mayWrite: boolean): Promise<NetMessage> {
    return this.#c.holder.answerRefusals(async () => {
      if (request.t === "live-set") {
        if (!mayWrite) throw new Fault({ code: "NOT_ALLOWED", reason: "this is for reading only" });
        await this.liveSets.take(asOwner, request.record, list);
        this.collector.wake();
        const hash = sha256(request.record);
        return { head: dataAnswer.encode({ t: "live-kept", v: 1, hash }), body: EMPTY_BYTES };
      }
      if (request.owner !== asOwner)
        throw new Fault({ code: "NOT_ALLOWED", reason: "live sets are shown to their owner only" });
      const kept = this.liveSets.of(asOwner, request.incarnation);
      const record = kept === undefined ? {} : { record: kept.record };
      return { head: dataAnswer.encode({ t: "live", v: 1, ...record }), body: kept?.list ?? EMPTY_BYTES };
    });
  }
}
