import { must } from "../base/assert.ts";
import { isFault } from "../base/fault.ts";
import type { PeerId, ShardId, SwarmId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { KeptMaps } from "../exchange/index.ts";
import { type Clock, type Rng, randomInt, type ShardStore, type StoredShard } from "../ports/index.ts";
import { shardNote } from "../wire/data.ts";
import { type Descriptor, readDescriptor } from "../wire/descriptor.ts";

/** Another holder's shard of a segment of which this node holds one itself. */
export interface SharedShard {
  readonly shard: ShardId;
  readonly root: Uint8Array;
  readonly leafBytes: number;
  readonly leaves: number;
}

export interface SharedRowsComponents {
  readonly shards: Pick<ShardStore, "list">;
  readonly kept: KeptMaps;
  readonly clock: Pick<Clock, "wallMs">;
  readonly rng: Pick<Rng, "float">;
}

/** Drawn anew so often: others' turn comes. */
const DRAWN_FOR_MS = DAY_MS;
const DRAWN_MAX = 512;
const PAGE = 500;

/**
 * What one holder can know of the others without any key: the roots in the descriptors beside its own shards, and who has the
 * other shards by the map that the owner handed over. A sample, since a holder may have a million shards.
 */
export class SharedRows {
  readonly #c: SharedRowsComponents;
  readonly #swarm: SwarmId;
  readonly #self: PeerId;
  #drawn: { readonly atMs: number; readonly byPeer: ReadonlyMap<PeerId, SharedShard[]> } | undefined;

  constructor(components: SharedRowsComponents, init: { swarm: SwarmId; self: PeerId }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#self = init.self;
  }

  /** Everybody with whom this node shares a row, with some of what it should have. */
  async byPeer(): Promise<ReadonlyMap<PeerId, readonly SharedShard[]>> {
    const nowMs = this.#c.clock.wallMs();
    const drawn = this.#drawn;
    const isFresh =
      drawn !== undefined &&
      drawn.byPeer.size > 0 &&
      nowMs >= drawn.atMs &&
      nowMs - drawn.atMs < DRAWN_FOR_MS;
    if (isFresh) return drawn.byPeer;
    const byPeer = await this.#draw();
    this.#drawn = { atMs: nowMs, byPeer };
    return byPeer;
  }

  /** Draws now, whatever was drawn before. */
  async redraw(): Promise<ReadonlyMap<PeerId, readonly SharedShard[]>> {
    this.#drawn = undefined;
    return this.byPeer();
  }

  async #draw(): Promise<Map<PeerId, SharedShard[]>> {
    const byPeer = new Map<PeerId, SharedShard[]>();
    for (const stored of await this.#sample()) {
      const descriptor = this.#descriptorOf(stored);
      if (descriptor === undefined) continue;
      const { segment, shardBytes, leafBytes, roots } = descriptor;
      const slots = await this.#c.kept.slots(segment, descriptor.class);
      for (const [index, peer] of slots.entries()) {
        const root = roots[index];
        if (peer === undefined || root === undefined || peer === this.#self || index === stored.id.index)
          continue;
        const shared = {
          shard: { ...segment, index },
          root,
          leafBytes,
          leaves: Math.ceil(shardBytes / leafBytes),
        };
        byPeer.set(peer, [...(byPeer.get(peer) ?? []), shared]);
      }
    }
    return byPeer;
  }

  /** A walk through the index; of what is held only the sample stays in memory. */
  async #sample(): Promise<StoredShard[]> {
    const { shards, rng } = this.#c;
    const sample: StoredShard[] = [];
    let seen = 0;
    let after: ShardId | undefined;
    for (;;) {
      const page = await shards.list(after, PAGE);
      for (const shard of page) {
        seen++;
        // A reservoir: the n-th takes a place with the chance that it deserves among n.
        const place = sample.length < DRAWN_MAX ? sample.length : randomInt(rng, seen);
        if (place < DRAWN_MAX) sample[place] = shard;
      }
      if (page.length < PAGE) return sample;
      after = must(page.at(-1), "last shard of a page").id;
    }
  }

  /** What lies beside a shard is the scrub's to judge. */
  #descriptorOf({ note }: StoredShard): Descriptor | undefined {
    try {
      return readDescriptor(shardNote.decode(note).descriptor, this.#swarm);
    } catch (error) {
      if (!isFault(error)) throw error;
      return undefined;
    }
  }
}
