import { must } from "../base/assert.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { Incarnation, PeerId, ShardId, SwarmId } from "../base/ids.ts";
import { type Catalog, refKey, type SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps, PeerClient } from "../exchange/index.ts";
import { type Clock, type Rng, randomInt } from "../ports/index.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { askHolders } from "./reachability.ts";

export interface VerifyComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have" | "getShard" | "getRange" | "silent">;
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

/**
 * Asks the holders of these segments to prove that they have them: one random leaf of each shard against the signed
 * root, or with `readData` every byte. Nobody's word counts as proof.
 */
export async function verifySegments(
  components: VerifyComponents,
  init: {
    swarm: SwarmId;
    readData: boolean;
    signal: AbortSignal;
    onShard: (done: number, total: number) => void;
  },
  segments: readonly SegmentRef[],
): Promise<VerifyOutcome> {
  const { catalog, maps, client, rng } = components;
  const { claimed } = await askHolders(components, segments, init.signal);
  const tasks = segments.flatMap((ref) => shardsOf(catalog, maps, ref));
  const total = tasks.length;
  const chance = init.readData ? 1 : Math.min(1, SAMPLES_MAX / Math.max(1, total));
  const outcome = { corrupt: [] as CorruptShard[], bytesRead: 0, shardsChecked: 0 };
  const checks = new Map(segments.map((ref) => [refKey(ref), newCheck(catalog, ref)]));
  let done = 0;
  await mapLimit(tasks, UNDER_WAY, async ({ ref, index, peer }) => {
    init.signal.throwIfAborted();
    const check = must(checks.get(refKey(ref)), "check of a segment");
    const isClaimed = claimed.get(refKey(ref))?.has(index) === true;
    let standing: Standing = isClaimed ? claim(components, ref, index, init.readData) : "missing";
    if (peer !== undefined && isClaimed && rng.float() < chance) {
      outcome.shardsChecked++;
      const shard = { ...catalog.segmentId(ref), index };
      const record = catalog.segments.orUnknown(ref);
      const descriptor =
        record.descriptor === undefined ? undefined : readDescriptor(record.descriptor, init.swarm);
      try {
        const leafBytes = descriptor?.leafBytes ?? DEFAULT_LEAF_BYTES;
        const leaves = descriptor === undefined ? 1 : Math.ceil(descriptor.shardBytes / descriptor.leafBytes);
        const { bytes } = init.readData
          ? await client.getShard(peer, shard, descriptor, init.signal)
          : await client.getRange(
              peer,
              shard,
              descriptor,
              randomInt(rng, leaves) * leafBytes,
              leafBytes,
              init.signal,
            );
        outcome.bytesRead += bytes.length;
        standing = "proven";
      } catch (error) {
        init.signal.throwIfAborted();
        if (!isFault(error)) throw error;
        // Late or away is not wrong: only bytes that do not match, or a shard that is denied, count against a peer.
        if (error.code === "SHARD_CORRUPT" || error.code === "SHARD_MISSING") {
          standing = "corrupt";
          outcome.corrupt.push({ shard, peer, reason: messageOf(error) });
        }
      }
    }
    check[standing]++;
    init.onShard(++done, total);
  });
  return { segments: [...checks.values()], ...outcome };
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
  };
}

function shardsOf(
  catalog: Catalog,
  maps: OwnerMaps,
  ref: SegmentRef,
): { ref: SegmentRef; index: number; peer: PeerId | undefined }[] {
  const record = catalog.segments.orUnknown(ref);
  const byMap = maps.slots(ref, record.class);
  return record.slots.map((slot, index) => ({ ref, index, peer: slot?.peer ?? byMap[index] }));
}
