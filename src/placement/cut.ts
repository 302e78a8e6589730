import { assert } from "../base/assert.ts";

/** Distinct shard indexes by the groups (sites, nodes or hosts) that hold a copy; each index has at least one. */
export interface GroupedShards {
  readonly groupCount: number;
  readonly groupsOfIndex: readonly (readonly number[])[];
}

/**
 * The fewest groups that, lost together, take `toLose` distinct indexes with them: an index is gone when every group
 * that holds it is. Exact.
 *
 * Where no index is held twice, the groups with the most indexes are the answer. In general the question is the minimum
 * union of sets, which is NP-hard, so it is answered by branch and bound: asking in turn whether 1, 2, 3 ... groups
 * suffice. Indexes held by one group cost nothing there: the bound is exact for them, and only groups that share an index
 * are branched on. Holders are a few dozen and doubly held indexes few (a returned node's shards, until they are
 * dropped), so that the search is tiny; `STEPS_MAX` bounds it whatever comes.
 */
export function minGroupsToLose(shards: GroupedShards, toLose: number): number {
  assert(toLose >= 1 && toLose <= shards.groupsOfIndex.length, "so many indexes are there to be lost");
  const search = new Search(shards, toLose);
  for (let groups = 1; groups < shards.groupCount; groups++) {
    if (search.suffices(groups)) return groups;
  }
  return shards.groupCount;
}

// 64 indexes with three copies each on 40 holders took up to 31,000 steps (60 draws), 16 with two on 24 under 100. Past
// this bound "they suffice" is taken for granted: the count can then be too low, never too high.
const STEPS_MAX = 1_000_000;

type Decision = "open" | "lost" | "kept";

class Search {
  readonly #groupCount: number;
  readonly #indexes: readonly (readonly number[])[];
  readonly #decision: Decision[];
  readonly #toLose: number;
  #steps = 0;

  constructor(shards: GroupedShards, toLose: number) {
    this.#groupCount = shards.groupCount;
    this.#indexes = shards.groupsOfIndex;
    this.#toLose = toLose;
    this.#decision = Array.from({ length: shards.groupCount }, () => "open");
  }

  /** Whether some choice of `more` further open groups loses enough, given what is decided already. */
  suffices(more: number): boolean {
    this.#steps++;
    if (this.#steps > STEPS_MAX) return true;
    const { gone, worth, shared } = this.#survey();
    if (gone >= this.#toLose) return true;
    if (more === 0) return false;
    const open: number[] = [];
    for (let group = 0; group < this.#groupCount; group++) {
      if (this.#decision[group] === "open") open.push(group);
    }
    open.sort((a, b) => (worth[b] ?? 0) - (worth[a] ?? 0));
    const best = open.slice(0, more);
    // The slack keeps sums of thirds from falling short of a whole number by rounding.
    const atMost = gone + best.reduce((sum, group) => sum + (worth[group] ?? 0), 0) + 1e-9;
    if (atMost < this.#toLose) return false;
    const branch = open.find((group) => shared[group]);
    if (branch === undefined) return true; // nothing is shared any more: the bound is what is really lost
    for (const decision of ["lost", "kept"] as const) {
      this.#decision[branch] = decision;
      const found = this.suffices(decision === "lost" ? more - 1 : more);
      this.#decision[branch] = "open";
      if (found) return true;
    }
    return false;
  }

  /**
   * `gone`: indexes lost with the groups decided so far. `worth`: what losing an open group may contribute at most: an
   * index that still has r open holders counts 1/r for each, so that r of them make one. `shared`: r > 1 for some index.
   */
  #survey(): { gone: number; worth: Float64Array; shared: boolean[] } {
    const worth = new Float64Array(this.#groupCount);
    const shared: boolean[] = [];
    let gone = 0;
    for (const groups of this.#indexes) {
      if (groups.some((group) => this.#decision[group] === "kept")) continue;
      const open = groups.filter((group) => this.#decision[group] === "open");
      if (open.length === 0) gone++;
      for (const group of open) {
        worth[group] = (worth[group] ?? 0) + 1 / open.length;
        if (open.length > 1) shared[group] = true;
      }
    }
    return { gone, worth, shared };
  }
}
