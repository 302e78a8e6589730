import { z } from "zod";
import { isFault, messageOf } from "../base/fault.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import {
  type Catalog,
  listingOf,
  type SegmentRanges,
  SegmentSet,
  segmentRanges,
  stateKeyOf,
} from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signer } from "../crypto/sign.ts";
import { signStatement } from "../crypto/signed.ts";
import { askAll, type HeadKeeper, type PeerClient, type SwarmView } from "../exchange/index.ts";
import { type LifeSpans, liveListOf } from "../gc/index.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import { bytesUpTo, codec, count, incarnation, OWN_SHAPE, peerId } from "../wire/codec.ts";
import { LIVE_LIST_BYTES_MAX, liveList, liveSetBody } from "../wire/live-set.ts";
import { encodeSigned } from "../wire/signed.ts";

const KEY = stateKeyOf("live-set");

/** The newest live set of this home, who has it, and the segments that it omitted first. */
export const ownLiveSet = codec(
  "own live set",
  z
    .object({
      v: z.literal(1),
      /** The life that signed it. */
      incarnation,
      epoch: count,
      timeMs: count,
      record: bytesUpTo(4096),
      list: bytesUpTo(LIVE_LIST_BYTES_MAX),
      peers: z.array(peerId).max(4096),
      givenUp: segmentRanges,
      /** Shard bytes of these that holders had acknowledged. */
      freedBytes: count,
    })
    .strict(),
  OWN_SHAPE,
);
export type OwnLiveSetState = Omit<ReturnType<(typeof ownLiveSet)["decode"]>, "v">;

export interface OwnLiveSetComponents {
  readonly catalog: Catalog;
  readonly heads: Pick<HeadKeeper, "keepers" | "pool">;
  readonly client: Pick<PeerClient, "keepLive">;
  readonly view: SwarmView;
  readonly clock: Clock;
  readonly log: Log;
}

/** How far the newest live set has come. */
export interface LiveSetStanding {
  readonly epoch: number;
  readonly timeMs: number;
  readonly freedBytes: number;
  /** Peers that have it, and those of the pool that lack it. */
  readonly kept: number;
  readonly missing: number;
}

/**
 * The owner's live set: signed once, on disk before anybody sees it, and handed to everybody in the pool until each has it; but to
 * nobody before the head that was made with it, and all that leads to its list, can be had without this machine.
 */
export class OwnLiveSet {
  readonly #c: OwnLiveSetComponents;
  readonly #swarm: SwarmId;
  readonly #signer: Signer;
  /** Are being handed it, or hang. */
  readonly #underWay = new Set<PeerId>();

  constructor(components: OwnLiveSetComponents, init: { swarm: SwarmId; signer: Signer }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#signer = init.signer;
  }

  get state(): OwnLiveSetState | undefined {
    const value = this.#c.catalog.store.get(KEY);
    return value === undefined ? undefined : ownLiveSet.decode(value);
  }

  standing(): LiveSetStanding | undefined {
    const state = this.#mine();
    if (state === undefined) return undefined;
    const { epoch, timeMs, freedBytes, peers } = state;
    const missing = this.#c.heads.pool().filter((peer) => !peers.includes(peer)).length;
    return { epoch, timeMs, freedBytes, kept: peers.length, missing };
  }

  /** Signs the next one; to be written in one with what it follows from. */
  signOps(lives: readonly LifeSpans[], givenUp: SegmentRanges, freedBytes: number): MetaOp[] {
    const { catalog, clock } = this.#c;
    const list = liveList.encode(liveListOf(lives));
    const timeMs = clock.wallMs();
    const epoch = (this.state?.epoch ?? 0) + 1;
    const body = liveSetBody.encode({ v: 1, timeMs, bytes: list.length, hash: sha256(list) });
    const said = {
      type: "live-set",
      swarm: this.#swarm,
      incarnation: catalog.incarnation,
      epoch,
      body,
    } as const;
    const record = encodeSigned(signStatement(said, this.#signer));
    return [
      this.#op({
        incarnation: catalog.incarnation,
        epoch,
        timeMs,
        record,
        list,
        peers: [],
        givenUp,
        freedBytes,
      }),
    ];
  }

  /** Hands it to those who lack it and can be reached. How many took it. */
  async publish(signal: AbortSignal): Promise<number> {
    const state = this.#mine();
    if (state === undefined || !this.#mayBeKnown()) return 0;
    const { view, heads } = this.#c;
    const reachable = new Set(view.nodes().flatMap(({ peer, reachable: isUp }) => (isUp ? [peer] : [])));
    const has = new Set<PeerId>(state.peers);
    const due = heads
      .pool()
      .filter((peer) => reachable.has(peer) && !has.has(peer) && !this.#underWay.has(peer));
    const took: PeerId[] = [];
    let isOver = false;
    const hand = async (peer: PeerId): Promise<boolean> => {
      if (!(await this.#hand(peer, state, signal))) return false;
      took.push(peer);
      if (isOver) await this.#keepTaken(state.epoch, [peer]);
      return true;
    };
    // One that hangs is not waited for: what it acknowledges later counts from then on.
    await askAll(due, hand, { clock: this.#c.clock, signal });
    isOver = true;
    const now = [...took];
    await this.#keepTaken(state.epoch, now);
    return now.length;
  }

  async #hand(peer: PeerId, state: OwnLiveSetState, signal: AbortSignal): Promise<boolean> {
    const { client, catalog, log } = this.#c;
    this.#underWay.add(peer);
    try {
      await client.keepLive(peer, catalog.owner, state, signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      log.warn("live-set-not-kept", { peer, epoch: state.epoch, why: messageOf(error) });
      return false;
    } finally {
      this.#underWay.delete(peer);
    }
  }

  async #keepTaken(epoch: number, peers: readonly PeerId[]): Promise<void> {
    const now = this.#mine();
    // Another one was signed meanwhile: who has this one lacks that.
    if (peers.length === 0 || now?.epoch !== epoch) return;
    const op = this.#op({ ...now, peers: [...new Set([...now.peers, ...peers])] });
    await this.#c.catalog.store.write([op], { sync: true });
    this.#c.log.info("live-set-handed", { epoch, peers: peers.length });
  }

  /** Of this life. */
  #mine(): OwnLiveSetState | undefined {
    const { state } = this;
    return state?.incarnation === this.#c.catalog.incarnation ? state : undefined;
  }

  #mayBeKnown(): boolean {
    const { catalog, heads } = this.#c;
    if (heads.keepers.length === 0) return false;
    const listing = SegmentSet.fromRanges(listingOf(catalog.store));
    return [...listing].every((ref) => {
      const record = catalog.segments.get(ref);
      const held = record?.slots.filter((slot) => slot !== null).length ?? 0;
      return record !== undefined && held >= record.k;
    });
  }

  #op(state: OwnLiveSetState): MetaOp {
    return { type: "put", key: KEY, value: ownLiveSet.encode({ v: 1, ...state }) };
  }
}
