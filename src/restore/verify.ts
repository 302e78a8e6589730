import { must } from "../base/assert.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { Incarnation, PeerId, ShardId, SwarmId } from "../base/ids.ts";
import { type Catalog, refKey, type SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps, PeerClient, Strays } from "../exchange/index.ts";
import { type Clock, type Rng, randomInt } from "../ports/index.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { askHolders } from "./reachability.ts";

export interface VerifyComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have" | "getShard" | "getRange" | "silent">;
  /** Asked before a segment is said to be out of reach, as a restore does. */
  readonly strays: Pick<Strays, "of" | "find">;
  readonly rng: Rng;
  readonly clock: Pick<Clock, "wallMs">;
  /** When an audit last had a leaf of a shard from this holder, if that was lately enough to count. */
  readonly proven: {
    lastMs(peer: PeerId, of: { ref: SegmentRef; index: number }, nowMs: number): number | undefined;
  };
}

/** What one segment is worth, by what its holders proved or said just now. */
export interface SegmentCheck {
  readonly ref: SegmentRef;
  readonly incarnation: Incarnation;
  readonly k: number;
  readonly n: number;
  /** Distinct shards: proven by a leaf (or all bytes), said to be there, not to be had, wrong. */
  proven: number;
  claimed: number;
  missing: number;
  corrupt: number;
  /** Of the proven ones: not where receipt and map look for them, so that nothing keeps them there. */
  elsewhere: number;
}

export interface CorruptShard {
  readonly shard: ShardId;
  readonly peer: PeerId;
  readonly reason: string;
}

export interface VerifyOutcome {
  readonly segments: SegmentCheck[];
  readonly corrupt: CorruptShard[];
  readonly bytesRead: number;
  readonly shardsChecked: number;
}

/** Leaves asked for in one run; of larger repositories a random part is proven and the rest claimed. */
const SAMPLES_MAX = 4096;
const UNDER_WAY = 8;

type Standing = "proven" | "claimed" | "missing" | "corrupt";

export interface VerifyInit {
  readonly swarm: SwarmId;
  readonly readData: boolean;
  readonly signal: AbortSignal;
  readonly onShard: (done: number, total: number) => void;
}

/**
 * Asks the holders of these segments to prove that they have them: one random leaf of each shard against the signed
 * root, or with `readData` every byte. Nobody's word counts as proof. What would be out of reach then is looked for with
 * everybody, as a restore would.
 */
export async function verifySegments(
  components: VerifyComponents,
  init: VerifyInit,
  segments: readonly SegmentRef[],
): Promise<VerifyOutcome> {
  return new Verification(components, init, segments).run();
}

interface Task {
  readonly ref: SegmentRef;
  readonly index: number;
  readonly peer: PeerId | undefined;
}

class Verification {
  readonly #c: VerifyComponents;
  readonly #init: VerifyInit;
  readonly #segments: readonly SegmentRef[];
  readonly #checks: ReadonlyMap<string, SegmentCheck>;
  /** What cannot be had from who is to have it, by segment. */
  readonly #unmet = new Map<string, { readonly index: number; readonly standing: "missing" | "corrupt" }[]>();
  readonly #corrupt: CorruptShard[] = [];
  #bytesRead = 0;
  #shardsChecked = 0;

  constructor(components: VerifyComponents, init: VerifyInit, segments: readonly SegmentRef[]) {
    this.#c = components;
    this.#init = init;
    this.#segments = segments;
    this.#checks = new Map(segments.map((ref) => [refKey(ref), newCheck(components.catalog, ref)]));
  }

  async run(): Promise<VerifyOutcome> {
    const { catalog, maps } = this.#c;
    const { signal, readData, onShard } = this.#init;
    const { claimed } = await askHolders(this.#c, this.#segments, signal);
    const tasks = this.#segments.flatMap((ref) => shardsOf(catalog, maps, ref));
    const chance = readData ? 1 : Math.min(1, SAMPLES_MAX / Math.max(1, tasks.length));
    let done = 0;
    await mapLimit(tasks, UNDER_WAY, async (task) => {
      signal.throwIfAborted();
      const isClaimed = claimed.get(refKey(task.ref))?.has(task.index) === true;
      this.#note(task, isClaimed ? await this.#standingOf(task, chance) : "missing");
      onShard(++done, tasks.length);
    });
    await this.#lookElsewhere();
    return {
      segments: [...this.#checks.values()],
      corrupt: this.#corrupt,
      bytesRead: this.#bytesRead,
      shardsChecked: this.#shardsChecked,
    };
  }

  async #standingOf({ ref, index, peer }: Task, chance: number): Promise<Standing> {
    const standing = claim(this.#c, ref, index, this.#init.readData);
    if (peer === undefined || this.#c.rng.float() >= chance) return standing;
    return (await this.#prove(ref, index, peer)) ?? standing;
  }

  #note({ ref, index }: Task, standing: Standing): void {
    const key = refKey(ref);
    must(this.#checks.get(key), "check of a segment")[standing]++;
    if (standing !== "missing" && standing !== "corrupt") return;
    const unmet = this.#unmet.get(key) ?? [];
    unmet.push({ index, standing });
    this.#unmet.set(key, unmet);
  }

  /** Shards of segments that would be lost without, with peers that no map names; each has to prove it. */
  async #lookElsewhere(): Promise<void> {
    const { catalog, strays } = this.#c;
    const { signal } = this.#init;
    const isShort = (ref: SegmentRef): boolean => {
      const { k, proven, claimed } = must(this.#checks.get(refKey(ref)), "check of a segment");
      return proven + claimed < k && catalog.segments.get(ref)?.spooled !== true;
    };
    const short = this.#segments.filter(isShort);
    if (short.length === 0) return;
    await strays.find(short, signal);
    await mapLimit(short, UNDER_WAY, async (ref) => {
      for (const { index, standing } of this.#unmet.get(refKey(ref)) ?? []) {
        const check = must(this.#checks.get(refKey(ref)), "check of a segment");
        if (!isShort(ref) || !(await this.#isProvenByAny(ref, index))) continue;
        check[standing]--;
        check.proven++;
        check.elsewhere++;
      }
    });
  }

  async #isProvenByAny(ref: SegmentRef, index: number): Promise<boolean> {
    for (const one of this.#c.strays.of(ref))
      if (one.index === index && (await this.#prove(ref, index, one.peer)) === "proven") return true;
    return false;
  }

  /** `undefined` where the peer is late or away: that is not wrong. */
  async #prove(ref: SegmentRef, index: number, peer: PeerId): Promise<"proven" | "corrupt" | undefined> {
    const { catalog, client, rng } = this.#c;
    const { readData, signal, swarm } = this.#init;
    this.#shardsChecked++;
    const shard = { ...catalog.segmentId(ref), index };
    const record = catalog.segments.orUnknown(ref);
    const descriptor = record.descriptor === undefined ? undefined : readDescriptor(record.descriptor, swarm);
    try {
      const leafBytes = descriptor?.leafBytes ?? DEFAULT_LEAF_BYTES;
      const leaves = descriptor === undefined ? 1 : Math.ceil(descriptor.shardBytes / descriptor.leafBytes);
      const from = randomInt(rng, leaves) * leafBytes;
      const { bytes } = readData
        ? await client.getShard(peer, shard, descriptor, signal)
        : await client.getRange(peer, shard, descriptor, from, leafBytes, signal);
      this.#bytesRead += bytes.length;
      return "proven";
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      // Only bytes that do not match, or a shard that is denied, count against a peer.
      if (error.code !== "SHARD_CORRUPT" && error.code !== "SHARD_MISSING") return undefined;
      this.#corrupt.push({ shard, peer, reason: messageOf(error) });
      return "corrupt";
    }
  }
}

const DEFAULT_LEAF_BYTES = 16 * 1024;

/** What a holder's word is worth: an audit may have had a leaf of the shard lately. Who wants every byte read takes no such proof. */
function claim(
  { catalog, proven, clock }: VerifyComponents,
  ref: SegmentRef,
  index: number,
  readData: boolean,
): Standing {
  const holder = catalog.segments.get(ref)?.slots[index]?.peer;
  if (readData || holder === undefined) return "claimed";
  return proven.lastMs(holder, { ref, index }, clock.wallMs()) === undefined ? "claimed" : "proven";
}

function newCheck(catalog: Catalog, ref: SegmentRef): SegmentCheck {
  const record = catalog.segments.orUnknown(ref);
  const { incarnation } = catalog.segmentId(ref);
  return {
    ref,
    incarnation,
    k: record.k,
    n: record.slots.length,
    proven: 0,
    claimed: 0,
    missing: 0,
    corrupt: 0,
    elsewhere: 0,
  };
}

function shardsOf(catalog: Catalog, maps: OwnerMaps, ref: SegmentRef): Task[] {
  const record = catalog.segments.orUnknown(ref);
  const byMap = maps.slots(ref, record.class);
  return record.slots.map((slot, index) => ({ ref, index, peer: slot?.peer ?? byMap[index] }));
}
