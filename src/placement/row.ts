import { assert } from "../base/assert.ts";
import { concatBytes, u32be, utf8 } from "../base/bytes.ts";
import { idBytes, type OwnerId, type PeerId } from "../base/ids.ts";
import { type Apart, apartFrom, NOBODY_APART, pickTogether } from "./apart.ts";
import type { PlacementClass } from "./profile.ts";
import { type Rankable, rankCandidates } from "./rendezvous.ts";

/** A member as placement sees it: what its certificate says, and how it is doing. */
export interface PlacementNode extends Rankable {
  readonly peer: PeerId;
  readonly site: string;
  /** The machine. The same label means the same machine, whatever the site: daemons that share one die together. */
  readonly host: string;
  readonly reachable: boolean;
  readonly full: boolean;
  readonly draining: boolean;
  /** Doubted by auditors, or convicted: nothing new goes there. */
  readonly suspected: boolean;
}

/** Who holds (or is to hold) one shard index; `undefined`: nobody yet. */
export type Slot = PeerId | undefined;

/** Why a caller rules a peer out that its flags would let in. */
export type ExcludeReason = "refused" | "full" | "lost" | "removed" | "holds another shard" | "not wanted";
export type SkipReason =
  | ExcludeReason
  | "owner"
  | "unreachable"
  | "draining"
  | "suspected"
  | "no quota"
  | "cannot meet another holder"
  | "site has its share";

export interface Skipped {
  readonly peer: PeerId;
  readonly reason: SkipReason;
}

/** What every choice of holders is made from. */
export interface PlacementField {
  /** What the order of candidates is drawn from: `rowKey`. */
  readonly key: Uint8Array;
  /** Most shards of one segment at one site. */
  readonly cap: number;
  /** Every member known, in whatever state: sites of present holders are looked up here. */
  readonly candidates: readonly PlacementNode[];
  /** The candidates come in their order for this key: to draw it again is most of what a choice costs. @default false */
  readonly isRanked?: boolean;
  /** The owner's own node, which never holds its own shards; `undefined` only when it has none any more. */
  readonly ownerPeer: PeerId | undefined;
  readonly exclude?: ReadonlyMap<PeerId, ExcludeReason>;
  /**
   * Who is excluded has its slots until somebody else takes them, and may come back with what it has: it fills its site
   * till then. @default false: who is excluded is gone, and fills no site
   */
  readonly excludedMayReturn?: boolean;
  /** Peers that cannot reach each other: two of them are not put into one row while anything else fits. */
  readonly apart?: Apart;
}

export interface RowRequest extends PlacementField {
  /** Shards of a segment: k + m. */
  readonly n: number;
}

export interface CannotPlace {
  readonly ok: false;
  /** As many as could be found: slots that stay `undefined` can be filled later by `replacementFor`. */
  readonly slots: readonly Slot[];
  readonly found: number;
  readonly wanted: number;
  /** Everybody who was passed over, in the order of the candidates. */
  readonly skipped: readonly Skipped[];
  /** For a log line or a person. */
  readonly why: string;
}

export type RowChoice = { readonly ok: true; readonly slots: readonly PeerId[] } | CannotPlace;

export type ReplacementChoice =
  | {
      readonly ok: true;
      readonly peer: PeerId;
      /** Position among all candidates with weight, 0-based: what a repair record is compared by. */
      readonly rank: number;
    }
  | (CannotPlace & {
      /** The candidate that would be next if the site rule were waived: for a repair with no margin left. */
      readonly overCap: PeerId | undefined;
    });

/** The key of a row of the placement map: "cairn/1/row" and a zero byte, owner (32), k, m, cap, partition (u32 each). */
export function rowKey(owner: OwnerId, of: PlacementClass, partition: number): Uint8Array {
  return concatBytes(
    utf8("cairn/1/row\0"),
    idBytes(owner),
    u32be(of.k),
    u32be(of.m),
    u32be(of.cap),
    u32be(partition),
  );
}

/**
 * Holders for a new generation of a row: candidates in rendezvous order, at most `cap` to a site, no two that cannot
 * reach each other, on different hosts as far as there are any (in this order: the site rule, which is never broken, all
 * slots, peers that can meet, the fewest shards on one host, the order). A peer takes at most one slot. Slot i is the
 * i-th peer taken.
 */
export function chooseRow(request: RowRequest): RowChoice {
  assert(request.n >= 1, "a row has slots");
  const ranked = rankedOf(request);
  const pick = (without: ReadonlySet<PeerId>) => pickRow(request, ranked, without).slots;
  const { without } = pickTogether(pick, request.apart ?? NOBODY_APART, request.ownerPeer);
  const { slots, skipped } = pickRow(request, ranked, without);
  return slots.length === request.n ? { ok: true, slots } : cannot(request, slots, request.n, skipped);
}

function rankedOf({ key, candidates, isRanked }: PlacementField): readonly PlacementNode[] {
  return isRanked === true ? candidates.filter(({ weight }) => weight > 0) : rankCandidates(key, candidates);
}

/** As many slots as can be filled, by who is first each time. */
function pickRow(
  request: RowRequest,
  ranked: readonly PlacementNode[],
  without: ReadonlySet<PeerId>,
): { readonly slots: readonly PeerId[]; readonly skipped: readonly Skipped[] } {
  const skipped: Skipped[] = [];
  const picker = new Picker(request, ranked, skipped, without);
  const slots: PeerId[] = [];
  while (slots.length < request.n) {
    const node = picker.take();
    if (node === undefined) break;
    slots.push(node.peer);
  }
  if (slots.length < request.n) picker.noteSitesAtCap();
  return { slots, skipped };
}

/**
 * The next candidate for one slot of a row, in the same order, keeping the site rule: after a refusal, for a full
 * or lost holder, or for a slot that nobody had. The slot's present holder is out, and so is every other holder
 * in the row. Who can reach all other holders and the owner goes before who can reach fewer of them. Holders that are excluded or no longer known count for no site: their slots are as good as empty.
 */
export function replacementFor(row: readonly Slot[], slot: number, field: PlacementField): ReplacementChoice {
  assert(slot >= 0 && slot < row.length, "the slot is one of the row's");
  const skipped: Skipped[] = [];
  const picker = new Picker(field, rankedOf(field), skipped);
  row.forEach((peer, index) => {
    if (peer !== undefined) picker.occupy(peer, index === slot);
  });
  if (field.ownerPeer !== undefined) picker.mustMeet(field.ownerPeer);
  const node = picker.take();
  if (node !== undefined) return { ok: true, peer: node.peer, rank: picker.rankOf(node.peer) };
  picker.noteSitesAtCap();
  const slots = row.map((peer, index) => (index === slot ? undefined : peer));
  return { ...cannot(field, slots, row.length, skipped), overCap: picker.firstIgnoringCap()?.peer };
}

/**
 * Position of a peer in the order for this key, 0-based, over all candidates with weight whatever their state:
 * what everybody can recompute from the roster alone. `undefined` when it is no candidate.
 */
export function candidateRank(
  key: Uint8Array,
  candidates: readonly PlacementNode[],
  peer: PeerId,
): number | undefined {
  const rank = rankCandidates(key, candidates).findIndex((node) => node.peer === peer);
  return rank < 0 ? undefined : rank;
}

export const POOL_PEERS_MAX = 64;

/**
 * The candidates of an owner's pool: the best `max` members for the owner's key, spread over sites as evenly as
 * they allow, so that any profile which the swarm can place safely can be placed inside the pool. Bounds the
 * peers that an owner has to keep in touch with; members of rows that exist already are added by the caller.
 */
export function choosePool(
  owner: OwnerId,
  candidates: readonly PlacementNode[],
  ownerPeer: PeerId | undefined,
  max: number = POOL_PEERS_MAX,
): PlacementNode[] {
  const key = concatBytes(utf8("cairn/1/pool\0"), idBytes(owner));
  const others = candidates.filter((node) => node.peer !== ownerPeer && node.weight > 0);
  const perSite = countBy(others, (node) => node.site);
  const cap = leastCap([...perSite.values()], Math.min(max, others.length));
  const taken = new Map<string, number>();
  return rankCandidates(key, others)
    .filter((node) => {
      const atSite = taken.get(node.site) ?? 0;
      if (atSite >= cap) return false;
      taken.set(node.site, atSite + 1);
      return true;
    })
    .slice(0, max);
}

/** The least c with sum over sites of min(c, holders there) >= n, or the largest site when even that is too few. */
export function leastCap(holdersPerSite: readonly number[], n: number): number {
  const most = Math.max(1, ...holdersPerSite);
  for (let cap = 1; cap < most; cap++) {
    if (capacityUnder(holdersPerSite, cap) >= n) return cap;
  }
  return most;
}

/** How many shards of one segment fit when no site takes more than `cap` and no node more than one. */
export function capacityUnder(holdersPerSite: readonly number[], cap: number): number {
  return holdersPerSite.reduce((sum, holders) => sum + Math.min(cap, holders), 0);
}

/** Takes candidates one by one and keeps count of sites and hosts. */
class Picker {
  readonly #ranked: readonly PlacementNode[];
  readonly #byPeer: ReadonlyMap<PeerId, PlacementNode>;
  readonly #cap: number;
  readonly #eligible: Set<PlacementNode>;
  readonly #atSite = new Map<string, number>();
  readonly #onHost = new Map<string, number>();
  readonly #skipped: Skipped[];
  readonly #exclude: ReadonlyMap<PeerId, ExcludeReason>;
  readonly #excludedMayReturn: boolean;
  readonly #apart: Apart;
  /** Who was there before anybody was taken, and has to be able to meet whoever is. */
  readonly #present = new Set<PeerId>();

  constructor(
    field: PlacementField,
    ranked: readonly PlacementNode[],
    skipped: Skipped[],
    without: ReadonlySet<PeerId> = new Set(),
  ) {
    assert(field.cap >= 1, "a site may take at least one shard");
    this.#cap = field.cap;
    this.#skipped = skipped;
    this.#exclude = field.exclude ?? new Map();
    this.#excludedMayReturn = field.excludedMayReturn === true;
    this.#apart = field.apart ?? NOBODY_APART;
    this.#ranked = ranked;
    this.#byPeer = new Map(field.candidates.map((node) => [node.peer, node]));
    this.#eligible = new Set(this.#ranked);
    for (const node of field.candidates) {
      const reason = reasonAgainst(node, field.ownerPeer, this.#exclude);
      if (reason !== undefined) this.#drop(node, reason);
      else if (without.has(node.peer)) this.#drop(node, "cannot meet another holder");
    }
  }

  /** Somebody that whoever is taken should be able to meet. */
  mustMeet(peer: PeerId): void {
    this.#present.add(peer);
  }

  /** A peer that has a slot already. `leaving`: it gives that slot up, so it fills neither site nor host. */
  occupy(peer: PeerId, leaving: boolean): void {
    const node = this.#byPeer.get(peer);
    if (node === undefined) return;
    if (this.#eligible.has(node)) this.#drop(node, leaving ? "not wanted" : "holds another shard");
    const isOut = this.#exclude.has(peer);
    if (leaving || (isOut && !this.#excludedMayReturn)) return;
    if (!isOut) this.mustMeet(peer);
    this.#count(node);
  }

  take(): PlacementNode | undefined {
    let best: PlacementNode | undefined;
    let bestUnmet = Number.POSITIVE_INFINITY;
    let bestOnHost = Number.POSITIVE_INFINITY;
    for (const node of this.#ranked) {
      if (!this.#eligible.has(node) || this.#siteIsFull(node)) continue;
      const unmet = apartFrom(this.#apart, node.peer, this.#present);
      const onHost = this.#onHost.get(node.host) ?? 0;
      if (unmet > bestUnmet || (unmet === bestUnmet && onHost >= bestOnHost)) continue;
      best = node;
      bestUnmet = unmet;
      bestOnHost = onHost;
      if (unmet === 0 && onHost === 0) break;
    }
    if (best === undefined) return undefined;
    this.#eligible.delete(best);
    this.#count(best);
    return best;
  }

  firstIgnoringCap(): PlacementNode | undefined {
    return this.#ranked.find((node) => this.#eligible.has(node));
  }

  noteSitesAtCap(): void {
    for (const node of this.#ranked) {
      if (this.#eligible.has(node) && this.#siteIsFull(node)) {
        this.#skipped.push({ peer: node.peer, reason: "site has its share" });
      }
    }
  }

  rankOf(peer: PeerId): number {
    return this.#ranked.findIndex((node) => node.peer === peer);
  }

  #siteIsFull(node: PlacementNode): boolean {
    return (this.#atSite.get(node.site) ?? 0) >= this.#cap;
  }

  #count(node: PlacementNode): void {
    this.#atSite.set(node.site, (this.#atSite.get(node.site) ?? 0) + 1);
    this.#onHost.set(node.host, (this.#onHost.get(node.host) ?? 0) + 1);
  }

  #drop(node: PlacementNode, reason: SkipReason): void {
    this.#eligible.delete(node);
    this.#skipped.push({ peer: node.peer, reason });
  }
}

function reasonAgainst(
  node: PlacementNode,
  ownerPeer: PeerId | undefined,
  exclude: ReadonlyMap<PeerId, ExcludeReason>,
): SkipReason | undefined {
  if (node.peer === ownerPeer) return "owner";
  const excluded = exclude.get(node.peer);
  if (excluded !== undefined) return excluded;
  if (!(node.weight > 0)) return "no quota";
  if (node.suspected) return "suspected";
  if (node.draining) return "draining";
  if (!node.reachable) return "unreachable";
  return node.full ? "full" : undefined;
}

function cannot(
  field: PlacementField,
  slots: readonly Slot[],
  wanted: number,
  skipped: readonly Skipped[],
): CannotPlace {
  const found = slots.filter((slot) => slot !== undefined).length;
  const padded = Array.from({ length: wanted }, (_, index) => slots[index]);
  const counts = countBy(
    skipped.filter(({ reason }) => reason !== "holds another shard"),
    ({ reason }) => reason,
  );
  const reasons = [...counts].map(([reason, count]) => `${count} ${reason}`).join(", ");
  const why =
    `${wanted} shards need ${wanted} holders with at most ${field.cap} at one site, and ${found} can be had` +
    (reasons === "" ? "" : ` (passed over: ${reasons})`);
  return { ok: false, slots: padded, found, wanted, skipped, why };
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) {
    const key = keyOf(item);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
