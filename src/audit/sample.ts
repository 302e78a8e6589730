import type { PeerId, SwarmId } from "../base/ids.ts";
import type { Catalog, SegmentRecord, SegmentRef } from "../catalog/index.ts";
import { type Rng, randomInt } from "../ports/index.ts";
import { AUDIT_BODY_BYTES_MAX, type AuditChallenge } from "../wire/audit.ts";
import { readDescriptor } from "../wire/descriptor.ts";

export interface SampledLeaf {
  readonly challenge: AuditChallenge;
  readonly leafBytes: number;
}

interface Candidate {
  readonly ref: SegmentRef;
  readonly index: number;
  /** The smallest stay. */
  readonly key: number;
}

/**
 * Random leaves of what a holder has given receipts for: different shards as far as there are any, each with a chance in
 * proportion to its bytes, then further leaves of the same ones. Shards whose descriptor is not at hand (after a recovery, until
 * something was read of them) are left out. One pass over the table of segments; leaves of one shard follow each other.
 */
export async function sampleLeaves(
  { catalog, rng }: { catalog: Catalog; rng: Pick<Rng, "float"> },
  init: { swarm: SwarmId; peer: PeerId; leaves: number },
): Promise<SampledLeaf[]> {
  const chosen: Candidate[] = [];
  for await (const [ref, record] of catalog.segments.all()) {
    if (record.descriptor === undefined) continue;
    record.slots.forEach((slot, index) => {
      if (slot?.peer === init.peer) offer(chosen, { ref, index, key: drawKey(rng, record) }, init.leaves);
    });
  }
  return leavesOf(catalog, rng, init, chosen);
}

/** Exponential with the shard's bytes as its rate: those with the smallest keys are a weighted sample without repetition. */
function drawKey(rng: Pick<Rng, "float">, { shardBytes }: SegmentRecord): number {
  return -Math.log(1 - rng.float()) / Math.max(1, shardBytes);
}

/** Keeps the `most` smallest, in order. */
function offer(chosen: Candidate[], candidate: Candidate, most: number): void {
  const last = chosen.at(-1);
  if (chosen.length >= most && last !== undefined && last.key <= candidate.key) return;
  let [low, high] = [0, chosen.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((chosen[middle]?.key ?? 0) < candidate.key) low = middle + 1;
    else high = middle;
  }
  chosen.splice(low, 0, candidate);
  if (chosen.length > most) chosen.pop();
}

function leavesOf(
  catalog: Catalog,
  rng: Pick<Rng, "float">,
  init: { swarm: SwarmId; leaves: number },
  chosen: readonly Candidate[],
): SampledLeaf[] {
  const shards = chosen.flatMap(({ ref, index }) => {
    const bytes = catalog.segments.get(ref)?.descriptor;
    if (bytes === undefined) return [];
    const { roots, shardBytes, leafBytes, segment } = readDescriptor(bytes, init.swarm);
    const root = roots[index];
    if (root === undefined) return [];
    const of = { incarnation: segment.incarnation, number: segment.number, index, root };
    return [{ of, leafBytes, count: Math.ceil(shardBytes / leafBytes), leaves: new Set<number>() }];
  });
  // Rounds in which a shard draws a leaf that it has already add nothing: there are a few more than are needed.
  let due = init.leaves;
  for (let round = 0; round < 2 * init.leaves && due > 0; round++) {
    for (const { count, leaves } of shards) {
      const before = leaves.size;
      if (due > 0) leaves.add(randomInt(rng, count));
      due -= leaves.size - before;
    }
  }
  return shards.flatMap(({ of, leafBytes, leaves }) =>
    [...leaves].map((leaf) => ({ challenge: { ...of, leaf }, leafBytes })),
  );
}

/** As many as one message may have, by number and by the bytes of the answer. */
export function messagesOf(leaves: readonly SampledLeaf[], leavesMax: number): AuditChallenge[][] {
  const messages: AuditChallenge[][] = [];
  let last: AuditChallenge[] = [];
  let bytes = 0;
  for (const { challenge, leafBytes } of leaves) {
    if (last.length === 0 || last.length >= leavesMax || bytes + leafBytes > AUDIT_BODY_BYTES_MAX) {
      last = [];
      bytes = 0;
      messages.push(last);
    }
    last.push(challenge);
    bytes += leafBytes;
  }
  return messages;
}
