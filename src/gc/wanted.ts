import type { ShardId } from "../base/ids.ts";
import type { QuarantinedShard, ShardStore, StoredShard } from "../ports/index.ts";
import type { LiveSets } from "./live-sets.ts";

/** Looked at beyond what was asked for, so that a long run of what is not wanted is few reads. */
const PAGE_MIN = 64;

/**
 * A store as those see it who keep data alive: what its owner does not want any more is not listed. It is still there to be read,
 * since whoever asks for it by name may know better.
 */
export function wantedShards(shards: ShardStore, liveSets: Pick<LiveSets, "omits">): ShardStore {
  const isWanted = ({ id }: { readonly id: ShardId }): boolean => !liveSets.omits(id);
  return {
    list: (after, limit) =>
      wanted<StoredShard>((from, many) => shards.list(from, many), isWanted, after, limit),
    quarantined: (after, limit) =>
      wanted<QuarantinedShard>((from, many) => shards.quarantined(from, many), isWanted, after, limit),
    put: (id, bytes, note) => shards.put(id, bytes, note),
    read: (id, offset, length) => shards.read(id, offset, length),
    stat: (id) => shards.stat(id),
    delete: (id) => shards.delete(id),
    isSound: (id) => shards.isSound(id),
    quarantine: (id, version, why) => shards.quarantine(id, version, why),
    isSetAside: (id) => shards.isSetAside(id),
    dropQuarantined: (id) => shards.dropQuarantined(id),
    locate: (id) => shards.locate(id),
    presence: () => shards.presence(),
    acceptDisk: () => shards.acceptDisk(),
    space: () => shards.space(),
    close: () => shards.close(),
  };
}

async function wanted<T extends { readonly id: ShardId }>(
  list: (after: ShardId | undefined, limit: number) => Promise<readonly T[]>,
  isWanted: (one: T) => boolean,
  after: ShardId | undefined,
  limit: number,
): Promise<T[]> {
  const found: T[] = [];
  let from = after;
  // Mostly nothing is left out, and the first page is the answer.
  for (let many = limit; found.length < limit; many = Math.max(limit, PAGE_MIN)) {
    const page = await list(from, many);
    found.push(...page.filter(isWanted));
    from = page.at(-1)?.id;
    if (page.length < many) break;
  }
  return found.slice(0, limit);
}
