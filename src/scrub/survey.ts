import { isFault } from "../base/fault.ts";
import type { ShardId } from "../base/ids.ts";
import { type Rng, randomInt, type ShardStore, type StoredShard } from "../ports/index.ts";
import { shardNote } from "../wire/data.ts";

const PAGE = 500;

export interface Survey {
  readonly shards: number;
  /** Each shard with the same chance, and the newest ones; no shard twice. */
  readonly sample: readonly StoredShard[];
  readonly oldestReceivedMs: number;
}

interface Received {
  readonly shard: StoredShard;
  readonly receivedMs: number;
}

/** One walk through the index; of what is held only the sample stays in memory. */
export async function surveyShards(
  components: { readonly shards: Pick<ShardStore, "list">; readonly rng: Pick<Rng, "float"> },
  size: { readonly random: number; readonly newest: number },
): Promise<Survey> {
  const random: Received[] = [];
  let newest: Received[] = [];
  let shards = 0;
  let oldestReceivedMs = Number.MAX_SAFE_INTEGER;
  for await (const shard of allShards(components.shards)) {
    const receivedMs = receivedMsOf(shard);
    const one = { shard, receivedMs };
    shards++;
    oldestReceivedMs = Math.min(oldestReceivedMs, receivedMs);
    // A reservoir: the n-th shard takes a place with the chance that it deserves among n.
    const place = random.length < size.random ? random.length : randomInt(components.rng, shards);
    if (place < size.random) random[place] = one;
    newest.push(one);
    if (newest.length >= 2 * size.newest + 1) newest = newestOf(newest, size.newest);
  }
  const chosen = new Set([...newestOf(newest, size.newest), ...random].map(({ shard }) => shard));
  return { shards, sample: [...chosen], oldestReceivedMs };
}

async function* allShards(shards: Pick<ShardStore, "list">): AsyncGenerator<StoredShard> {
  let after: ShardId | undefined;
  for (;;) {
    const page = await shards.list(after, PAGE);
    yield* page;
    after = page.at(-1)?.id;
    if (page.length < PAGE) return;
  }
}

function newestOf(received: readonly Received[], count: number): Received[] {
  return [...received].sort((a, b) => b.receivedMs - a.receivedMs).slice(0, count);
}

/** 0 where what was kept beside the shard cannot be read: no shard is older. */
function receivedMsOf({ note }: StoredShard): number {
  try {
    return shardNote.decode(note).receivedMs;
  } catch (error) {
    if (!isFault(error)) throw error;
    return 0;
  }
}
