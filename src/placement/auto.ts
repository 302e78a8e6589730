import { Fault } from "../base/fault.ts";
import { DAY_MS, HOUR_MS, SECOND_MS } from "../base/units.ts";
import {
  type ClassChoice,
  describeClass,
  holdersOfShape,
  type PlacementClass,
  type SwarmShape,
} from "./profile.ts";
import { capacityUnder, leastCap } from "./row.ts";

export interface AutoInit {
  /** What one node can send. @default 10e6, the slower half of branch uplinks */
  readonly uplinkBitsPerSecond?: number;
  /** Part of the uplink that repair may use. @default 0.5 */
  readonly repairShare?: number;
  /** Share of nodes lost for good in a year. @default 0.05 */
  readonly annualNodeLoss?: number;
  /** Share of sites lost for good in a year. @default 0.001 */
  readonly annualSiteLoss?: number;
  /** Shards kept by one node, which is what its loss costs to rebuild. @default 1 TB */
  readonly nodeBytes?: number;
  /** Wait before a lost node's shards are rebuilt. @default 24 h */
  readonly graceMs?: number;
  /** Yearly probability of losing the segments of one row that is good enough to save space by. @default 1e-9 */
  readonly lossTarget?: number;
}

export interface AutoChoice extends ClassChoice {
  /** n / k: bytes placed per byte saved. */
  readonly overhead: number;
  /** Modelled probability of losing the segments of one row within a year, the owner's own disk not counted. */
  readonly annualLoss: number;
}

const DEFAULTS: Required<AutoInit> = {
  uplinkBitsPerSecond: 10e6,
  repairShare: 0.5,
  annualNodeLoss: 0.05,
  annualSiteLoss: 0.001,
  nodeBytes: 1e12,
  graceMs: DAY_MS,
  lossTarget: 1e-9,
};

const YEAR_MS = 8766 * HOUR_MS;

// Wider rows repair slower (k times the bytes) and gain nothing that a private swarm would notice.
const ROW_SHARDS_MAX = 16;
const DATA_SHARDS_MAX = 10;
// Below four shards there is nothing that a code could save over copies.
const CODED_SHARDS_MIN = 4;
const REPLICATED_HOLDERS_MAX = 3;
// Few holders cannot have both two further losses and little overhead.
const SMALL_SWARM_HOLDERS = 8;
// What the overhead limit is raised by before a further loss is given up. A whole 1.0 would make the swarm of nine
// nodes at three sites choose 2+4: 3.0x, for one more loss than 3+3 covers at 2.0x.
const OVERHEAD_RAISE = 0.5;

/**
 * The profile for a swarm of this shape. Of all k + m with m >= cap + f, k <= 10, n <= 16, room for a spare holder and
 * bearable overhead, the one that meets the loss target with the least overhead, or, where none meets it, the one
 * least likely to lose data. If nothing fits, the overhead limit is raised, then f lowered, then there is one copy per
 * site. Never fails as long as there is one holder; `notes` say what is not covered. Throws `PROFILE_IMPOSSIBLE`
 * without any holder.
 */
export function autoProfile(shape: SwarmShape, init: AutoInit = {}): AutoChoice {
  const sites = shape.sites.filter((holders) => holders > 0);
  const holders = holdersOfShape({ sites });
  if (holders === 0) {
    throw new Fault({
      code: "PROFILE_IMPOSSIBLE",
      profile: "auto",
      reason: "no other node may be given data yet",
    });
  }
  const given = { ...DEFAULTS, ...init };
  if (holders <= REPLICATED_HOLDERS_MAX) return replicate(sites, holders, given);
  // At one site there is no site to survive: the rule is applied to its nodes, as if each were a site of its own.
  const oneSite = sites.length === 1;
  const planned = oneSite ? Array.from({ length: holders }, () => 1) : sites;
  const best = search(planned, given);
  if (best === undefined) return onePerSite(sites, given);
  const of = oneSite ? { ...best.class, cap: best.class.k + best.class.m } : best.class;
  return finish(of, sites, given, best.notes);
}

/**
 * Whether new segments should go over from a class in use to what `autoProfile` proposes: `now` when the class can no
 * longer be placed, or no longer survives a site although the proposal does; `when-stable` (after seven days of the
 * same answer) for 15 % less overhead or a tenth of the risk; otherwise `no`, so that profiles do not flap.
 */
export function worthChanging(
  current: PlacementClass,
  shape: SwarmShape,
  proposal: AutoChoice,
  init: AutoInit = {},
): "now" | "when-stable" | "no" {
  const n = current.k + current.m;
  if (capacityUnder(shape.sites, current.cap) < n) return "now";
  if (proposal.coversSiteLoss && current.m < current.cap) return "now";
  const sites = shape.sites.filter((holders) => holders > 0);
  const currentLoss = annualLossOf(current, sites, { ...DEFAULTS, ...init });
  if (proposal.overhead <= (n / current.k) * 0.85) return "when-stable";
  return proposal.annualLoss <= currentLoss / 10 ? "when-stable" : "no";
}

interface Candidate {
  readonly class: PlacementClass;
  readonly overhead: number;
  readonly annualLoss: number;
  readonly notes: readonly string[];
}

/** Walks down what is asked for until something fits. */
function search(sites: readonly number[], given: Required<AutoInit>): Candidate | undefined {
  const holders = holdersOfShape({ sites });
  const small = holders < SMALL_SWARM_HOLDERS;
  const furtherWanted = small ? 1 : 2;
  const limit = small ? 2.5 : 2.0;
  for (let f = furtherWanted; f >= 0; f--) {
    for (const overheadMax of [limit, limit + OVERHEAD_RAISE]) {
      const best = pickBest(candidatesFor(sites, f, overheadMax, given), given.lossTarget);
      if (best === undefined) continue;
      const notes = notesFor(furtherWanted, f, best, overheadMax > limit);
      return { ...best, notes };
    }
  }
  return undefined;
}

function notesFor(wanted: number, f: number, best: Candidate, raised: boolean): string[] {
  const notes: string[] = [];
  if (raised) {
    notes.push(`Covering this needs ${best.overhead.toFixed(2)} bytes placed per byte saved.`);
  }
  if (f < wanted) {
    notes.push(
      f === 0
        ? "After the loss of a whole site no further node may be lost: more sites or nodes would allow it."
        : `After the loss of a whole site only ${f} further node may be lost, not ${wanted}: more sites or nodes would allow it.`,
    );
  }
  return notes;
}

function candidatesFor(
  sites: readonly number[],
  f: number,
  overheadMax: number,
  given: Required<AutoInit>,
): Candidate[] {
  const holders = holdersOfShape({ sites });
  const found: Candidate[] = [];
  for (let n = Math.min(ROW_SHARDS_MAX, holders - spareHolders(holders)); n >= CODED_SHARDS_MIN; n--) {
    const cap = leastCap(sites, n);
    for (let m = Math.max(1, cap + f); m < n; m++) {
      const of = { k: n - m, m, cap };
      if (of.k > DATA_SHARDS_MAX || n / of.k > overheadMax) continue;
      found.push({ class: of, overhead: n / of.k, annualLoss: annualLossOf(of, sites, given), notes: [] });
    }
  }
  return found;
}

/** Holders that no row needs, so that a lost one can be replaced before a new one is bought. */
function spareHolders(holders: number): number {
  if (holders <= 4) return 0;
  return holders <= 11 ? 1 : Math.max(2, Math.ceil(0.15 * holders));
}

function pickBest(candidates: readonly Candidate[], lossTarget: number): Candidate | undefined {
  const enough = candidates.filter(({ annualLoss }) => annualLoss <= lossTarget);
  const order =
    enough.length > 0
      ? (a: Candidate, b: Candidate) =>
          a.overhead - b.overhead || a.class.cap - b.class.cap || a.annualLoss - b.annualLoss
      : (a: Candidate, b: Candidate) => a.annualLoss - b.annualLoss || a.overhead - b.overhead;
  return (enough.length > 0 ? enough : [...candidates]).sort(order)[0];
}

function replicate(sites: readonly number[], holders: number, given: Required<AutoInit>): AutoChoice {
  return finish({ k: 1, m: holders - 1, cap: Math.max(...sites) }, sites, given, []);
}

function onePerSite(sites: readonly number[], given: Required<AutoInit>): AutoChoice {
  const copies = Math.min(ROW_SHARDS_MAX, sites.length);
  const note =
    "Nodes are spread too unevenly over the sites for a code: one whole copy is kept at each site.";
  return finish({ k: 1, m: copies - 1, cap: 1 }, sites, given, [note]);
}

function finish(
  of: PlacementClass,
  sites: readonly number[],
  given: Required<AutoInit>,
  notes: readonly string[],
): AutoChoice {
  const described = describeClass(of, { sites });
  // What is said about sites replaces what is said about losses "after" one.
  const all = described.coversSiteLoss ? notes : described.notes;
  const single = of.k === 1 && of.m === 0 ? ["There is only one copy besides this machine."] : [];
  return {
    ...described,
    notes: [...all, ...single],
    overhead: (of.k + of.m) / of.k,
    annualLoss: annualLossOf(of, sites, given),
  };
}

/**
 * Chance that more than m shards of a row are gone at once within a year: lost nodes are rebuilt together after W =
 * grace + the time to move k times a node's bytes over everybody's uplinks. m + 1 losses must fall into one such
 * window (n (n-1) .. (n-m) ways, rate lambda each), or a site takes `cap` shards and m + 1 - cap further ones follow.
 * Losses are taken as independent beyond the site, so the figure ranks profiles; beyond about 1e-9 it promises nothing.
 */
export function annualLossOf(of: PlacementClass, sites: readonly number[], init: AutoInit = {}): number {
  const given = { ...DEFAULTS, ...init };
  const holders = holdersOfShape({ sites });
  const n = of.k + of.m;
  const lossRate = -Math.log(1 - given.annualNodeLoss);
  const rebuildMs =
    ((of.k * given.nodeBytes * 8) / (holders * given.uplinkBitsPerSecond * given.repairShare)) * SECOND_MS;
  const windowYears = (given.graceMs + rebuildMs) / YEAR_MS;
  const nodesAlone = lossesInWindow(n, 0, of.m, lossRate, windowYears) / windowYears;
  const sitesUsed = Math.min(sites.filter((count) => count > 0).length, n);
  const afterSite = of.cap > of.m ? 1 : lossesInWindow(n, of.cap, of.m, lossRate, windowYears);
  return Math.min(1, nodesAlone + sitesUsed * given.annualSiteLoss * afterSite);
}

/** Product over j = from .. to of (n - j) * rate * window: that many losses, one after the other, within the window. */
function lossesInWindow(n: number, from: number, to: number, rate: number, window: number): number {
  let product = 1;
  for (let j = from; j <= to; j++) product *= (n - j) * rate * window;
  return product;
}
