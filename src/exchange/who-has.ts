import { must } from "../base/assert.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { type Catalog, refKey, type SegmentRef } from "../catalog/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";
import { SHARDS_MAX } from "../wire/descriptor.ts";
import type { PeerClient } from "./peer-client.ts";

export interface WhoHasComponents {
  readonly catalog: Catalog;
  readonly client: Pick<PeerClient, "have">;
  /** Whom to ask: everybody who answers. */
  readonly peers: () => readonly PeerId[];
}

/** Somebody who says that it has this shard of a segment: proof are the bytes. */
export interface ShardClaim {
  readonly peer: PeerId;
  readonly index: number;
}

/** Segments asked about in one message, every possible shard of each. */
const SEGMENTS_PER_QUESTION = Math.floor(HAVE_SHARDS_MAX / SHARDS_MAX);
const ASK_LIMIT = 16;

/** Asks everybody, whatever the map says, which shards of these segments it has; by `refKey`. Who does not answer has none. */
export async function askWhoHas(
  components: WhoHasComponents,
  refs: readonly SegmentRef[],
  signal?: AbortSignal,
): Promise<Map<string, ShardClaim[]>> {
  const claims = new Map<string, ShardClaim[]>(refs.map((ref) => [refKey(ref), []]));
  const byLife = Map.groupBy(refs, (ref) => ref.incarnation);
  for (const ofLife of byLife.values())
    for (let at = 0; at < ofLife.length; at += SEGMENTS_PER_QUESTION)
      await askAbout(components, ofLife.slice(at, at + SEGMENTS_PER_QUESTION), claims, signal);
  return claims;
}

async function askAbout(
  { catalog, client, peers }: WhoHasComponents,
  refs: readonly SegmentRef[],
  claims: ReadonlyMap<string, ShardClaim[]>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { incarnation } = catalog.segmentId(must(refs[0], "segment to find"));
  const questions = refs.flatMap((ref) => Array.from({ length: SHARDS_MAX }, (_, index) => ({ ref, index })));
  const shards = questions.map(({ ref, index }) => [ref.number, index] as const);
  await mapLimit([...peers()], ASK_LIMIT, async (peer) => {
    try {
      const held = await client.have(peer, catalog.owner, incarnation, shards, signal);
      held.forEach((has, i) => {
        const { ref, index } = must(questions[i], "question");
        if (has) claims.get(refKey(ref))?.push({ peer, index });
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!isFault(error)) throw error;
    }
  });
}
