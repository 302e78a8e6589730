import { must } from "../base/assert.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type SegmentId, type ShardId, type SwarmId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS, MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import type { KeptMaps, PeerClient } from "../exchange/index.ts";
import type { Roster } from "../membership/index.ts";
import type { Clock, Network, ShardStore } from "../ports/index.ts";
import { LOST_SHARDS_MAX, lostBody } from "../wire/losses.ts";
import { encodeSigned } from "../wire/signed.ts";

/** One that is made anew and set aside again is told again. */
interface LostShard extends ShardId {
  readonly sinceMs: number;
}

export interface LossTellerComponents {
  readonly shards: Pick<ShardStore, "quarantined" | "stat">;
  readonly kept: KeptMaps;
  readonly client: Pick<PeerClient, "tellLost">;
  readonly network: Pick<Network, "connected" | "self">;
  readonly roster: Pick<Roster, "memberOfOwner">;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is kept aside is looked through so often; sooner when something was just set aside. */
const ROUND_MS = 10 * MINUTE_MS;
/** A scrub that finds one bad shard often finds more. */
const SOON_MS = 5 * SECOND_MS;
const PAGE = 500;
/** Shards looked at in one round. */
const ROUND_SHARDS_MAX = 20_000;
/** Remembered as told; beyond, everybody is told again. */
const TOLD_MAX = 100_000;
/** Who did not take a notice is told again after. */
const AGAIN_MS = HOUR_MS;

/**
 * A holder's word against itself: what its scrub has set aside and nobody has put here again, it tells the owner and those
 * who hold other shards of the same segments, so that the repair begins without anybody having to ask. What is kept aside on
 * disk is the queue: a restart tells it again.
 */
export class LossTeller {
  readonly #c: LossTellerComponents;
  readonly #swarm: SwarmId;
  readonly #stopping = new AbortController();
  readonly #told = new Set<string>();
  readonly #failedMs = new Map<PeerId, number>();
  #loop: Promise<void> | undefined;
  #wake = new AbortController();

  constructor(components: LossTellerComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    await this.#loop;
  }

  /** Something was set aside: it is told soon. */
  wake(): void {
    this.#wake.abort();
  }

  /** Tells whoever is connected and has not been told. Returns how many shards were told to how many peers. */
  async tell(signal: AbortSignal): Promise<{ shards: number; peers: number }> {
    const due = new Map<PeerId, LostShard[]>();
    const lost = new Set<string>();
    for await (const shard of this.#lost()) {
      for (const peer of await this.#concerned(shard)) {
        if (this.#told.has(toldKey(peer, shard))) continue;
        lost.add(shardKey(shard));
        const shards = due.get(peer) ?? [];
        shards.push(shard);
        due.set(peer, shards);
      }
    }
    let peers = 0;
    for (const [peer, shards] of due) if (await this.#tellPeer(peer, shards, signal)) peers++;
    return { shards: lost.size, peers };
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#c;
    const { signal } = this.#stopping;
    let waitMs = MINUTE_MS;
    while (!signal.aborted) {
      await clock.sleep(waitMs, this.#wake.signal).catch(() => {});
      const wasWoken = this.#wake.signal.aborted;
      if (signal.aborted) return;
      if (wasWoken) {
        await clock.sleep(SOON_MS, signal).catch(() => {});
        this.#wake = new AbortController();
      }
      waitMs = ROUND_MS;
      try {
        await this.tell(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        log.warn("losses-not-told", { why: messageOf(error) });
      }
    }
  }

  async *#lost(): AsyncGenerator<LostShard> {
    let after: ShardId | undefined;
    for (let seen = 0; seen < ROUND_SHARDS_MAX; seen += PAGE) {
      const page = await this.#c.shards.quarantined(after, PAGE);
      for (const { id, sinceMs } of page) if (this.#isLost(id)) yield { ...id, sinceMs };
      after = page.at(-1)?.id;
      if (page.length < PAGE) return;
    }
  }

  /** The owner's node, and who is in the same row by the owner's map; as far as they are there. */
  async #concerned(shard: SegmentId): Promise<PeerId[]> {
    const { roster, kept, network, clock } = this.#c;
    const owner = roster.memberOfOwner(shard.owner)?.peer;
    const rows = (await kept.slotsOfAnyClass(shard)).filter((slots) => slots.includes(network.self));
    const concerned = new Set([owner, ...rows.flat()]);
    concerned.delete(network.self);
    const nowMs = clock.monotonicMs();
    return network
      .connected()
      .filter((peer) => concerned.has(peer) && nowMs - (this.#failedMs.get(peer) ?? -AGAIN_MS) >= AGAIN_MS);
  }

  async #tellPeer(peer: PeerId, shards: readonly LostShard[], signal: AbortSignal): Promise<boolean> {
    const { client, log } = this.#c;
    const lives = Map.groupBy(shards, ({ owner, incarnation }) => `${owner}/${incarnation}`);
    try {
      for (const ofLife of lives.values()) {
        for (let at = 0; at < ofLife.length; at += LOST_SHARDS_MAX) {
          const timeMs = this.#c.clock.wallMs();
          // Telling others before takes its time: what was put here again meanwhile must not be called lost by a younger word.
          const some = ofLife.slice(at, at + LOST_SHARDS_MAX).filter((shard) => this.#isLost(shard));
          const [first] = some;
          if (first === undefined) continue;
          const { owner } = first;
          const noted = await client.tellLost(peer, owner, this.#notice(some, timeMs), signal);
          log.info("losses-told", { to: peer, owner, shards: some.length, noted });
          this.#remember(peer, some);
        }
      }
      this.#failedMs.delete(peer);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      this.#failedMs.set(peer, this.#c.clock.monotonicMs());
      log.info("losses-not-told", { to: peer, why: messageOf(error) });
      return false;
    }
  }

  #isLost(shard: ShardId): boolean {
    return this.#c.shards.stat(shard) === undefined;
  }

  #notice(shards: readonly LostShard[], timeMs: number): Uint8Array {
    const { owner, incarnation } = must(shards[0], "lost shard");
    const body = lostBody.encode({
      v: 1,
      owner,
      incarnation,
      timeMs,
      shards: shards.map(({ number, index }): [number, number] => [number, index]),
    });
    const statement = {
      type: "lost",
      swarm: this.#swarm,
      incarnation: NO_INCARNATION,
      epoch: timeMs,
      body,
    } as const;
    return encodeSigned(signStatement(statement, this.#c.signer));
  }

  #remember(peer: PeerId, shards: readonly LostShard[]): void {
    if (this.#told.size + shards.length > TOLD_MAX) this.#told.clear();
    for (const shard of shards) this.#told.add(toldKey(peer, shard));
  }
}

function toldKey(peer: PeerId, shard: LostShard): string {
  return `${peer}/${shardKey(shard)}/${shard.sinceMs}`;
}
