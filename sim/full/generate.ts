import { DAY_MS, HOUR_MS, KIB, MIB, MINUTE_MS } from "../../src/base/units.ts";
import { SeededRng } from "../rng.ts";
import { THEFTS, withDeletion } from "./generate-deletion.ts";
import { FAULT_KINDS, type FaultKind, type FaultPlan, type NodePlan, type Plan, type Step } from "./plan.ts";

export interface Wishes {
  readonly nodes?: number | undefined;
  readonly nodesMax?: number | undefined;
  readonly sites?: number | undefined;
  /** @default one in eight */
  readonly beyond?: boolean | undefined;
  /** @default up to six of all */
  readonly kinds?: readonly FaultKind[] | undefined;
  /** Whether something is forgotten and deleted. @default three in ten */
  readonly deletion?: boolean | undefined;
}

/** Thieves come with what they steal from. */
const DRAWN_KINDS = FAULT_KINDS.filter((kind) => kind !== "thief");

/** The plan of a seed. Every seed leaves out most kinds of fault: what happens all the time hides the rest. */
export function planOf(seed: string, wishes: Wishes = {}): Plan {
  const rng = new SeededRng(`plan/${seed}`);
  const nodes = nodesOf(rng.fork("nodes"), wishes);
  const shape = rng.fork("world");
  // Mostly short: of as much processor time, more swarms and more faults on top of each other.
  const stormMs = shape.pick([0.5, 1, 1, 2, 3, 6]) * HOUR_MS;
  // Every holder is audited once a day, and what an audit finds is looked into after it: few seeds have time for it.
  const isLong = nodes.length <= 5 && shape.chance(0.06);
  const beyond = wishes.beyond ?? shape.chance(1 / 8);
  const plan: Plan = {
    v: 1,
    seed,
    world: {
      nodes,
      latencyMs: shape.pick([1, 10, 40, 150]),
      stormMs,
      settleMs: isLong ? 1.25 * DAY_MS : HOUR_MS,
      scrubPeriodMs: shape.pick([2 * HOUR_MS, DAY_MS, 30 * DAY_MS]),
      // The daemon's half a minute costs most of a run; news goes round at once either way.
      syncEveryMs: shape.pick([MINUTE_MS / 2, 5 * MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS]),
      beyond,
      ...(shape.chance(0.2) ? { quotaBytes: shape.pick([256 * KIB, 512 * KIB, 256 * MIB]) } : {}),
      // So that what audits find is found within the calm of an ordinary run.
      ...(shape.chance(0.3) ? { auditEveryMs: HOUR_MS / 4 } : {}),
    },
    workload: workloadOf(rng.fork("workload"), nodes.length, stormMs),
    faults: faultsOf(rng.fork("faults"), nodes, stormMs, wishes.kinds),
  };
  // By draws of its own, so that all other plans are what they were.
  const deletion = rng.fork("deletion");
  const isDrawn = deletion.chance(0.3);
  return (wishes.deletion ?? isDrawn) ? withDeletion(plan, deletion) : plan;
}

/** Mostly small swarms: that is where rules break. */
function nodesOf(rng: SeededRng, wishes: Wishes): NodePlan[] {
  const drawn = rng.pick([3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 12]);
  const count = wishes.nodes ?? Math.min(drawn, wishes.nodesMax ?? drawn);
  const sites = Math.min(count, wishes.sites ?? 1 + rng.below(Math.min(count, 5)));
  const hasSkew = rng.chance(0.3);
  const small = rng.chance(0.15);
  return Array.from({ length: count }, (_, index) => ({
    site: `s${index < sites ? index : rng.below(sites)}`,
    ...(rng.chance(0.1) ? { host: `h${rng.below(2)}` } : {}),
    capacityBytes: small ? rng.pick([1 / 8, 1 / 4, 1, 4]) * MIB : rng.pick([64, 128, 256]) * MIB,
    bytesPerSecond: rng.pick([64, 256, 1024, 8192]) * KIB,
    syncMs: rng.pick([0.2, 2, 10]),
    skewMs: hasSkew ? rng.below(10 * MINUTE_MS) - 5 * MINUTE_MS : 0,
    rate: hasSkew ? 1 + (rng.float() - 0.5) / 5000 : 1,
  }));
}

function workloadOf(rng: SeededRng, nodes: number, stormMs: number): Step[] {
  const owners = Array.from({ length: nodes }, (_, node) => node).filter(() => rng.chance(0.6));
  if (owners.length === 0) owners.push(rng.below(nodes));
  const steps: Step[] = owners.map((node) => ({
    atMs: rng.below(10 * MINUTE_MS),
    do: "snapshot",
    node,
    changes: rng.below(1e6),
    wait: "safe",
  }));
  for (let left = 3 + rng.below(15); left > 0; left--) {
    const atMs = rng.below(stormMs);
    const node = rng.pick(owners);
    const kind = rng.float();
    if (kind < 0.6) {
      const wait = rng.chance(0.8) ? "safe" : "queued";
      steps.push({ atMs, do: "snapshot", node, changes: rng.below(1e6), wait });
    } else if (kind < 0.85) steps.push({ atMs, do: "restore", node, back: rng.below(4) });
    else if (kind < 0.93) steps.push({ atMs, do: "verify", node, readData: rng.chance(0.5) });
    else steps.push({ atMs, do: "recover", node, via: rng.below(nodes) });
  }
  return steps.sort((a, b) => a.atMs - b.atMs);
}

function faultsOf(
  rng: SeededRng,
  nodes: readonly NodePlan[],
  stormMs: number,
  wished: readonly FaultKind[] | undefined,
): FaultPlan[] {
  const kinds = wished ?? rng.shuffled(DRAWN_KINDS).slice(0, 1 + rng.below(6));
  const faults: FaultPlan[] = [];
  for (const kind of kinds)
    for (let left = 1 + rng.below(isFinal(kind) ? 2 : 6); left > 0; left--)
      faults.push(faultOf(kind, rng, nodes, stormMs));
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** What no calm heals. */
function isFinal(kind: FaultKind): boolean {
  return ["die", "site-dies", "roll-back", "cheat", "lie-to-recoveries", "lose-shards"].includes(kind);
}

function faultOf(kind: FaultKind, rng: SeededRng, nodes: readonly NodePlan[], stormMs: number): FaultPlan {
  const atMs = rng.below(stormMs);
  const forMs = Math.floor(MINUTE_MS / 6 + rng.float() ** 3 * Math.min(stormMs, 12 * HOUR_MS));
  const node = rng.below(nodes.length);
  switch (kind) {
    case "cut":
      return { kind, atMs, forMs, ...sidesOf(rng, nodes) };
    case "flap":
      return { kind, atMs, forMs, ...sidesOf(rng, nodes), everyMs: rng.pick([5000, 30_000, 5 * MINUTE_MS]) };
    case "silence": {
      const { a, b } = sidesOf(rng, nodes);
      return { kind, atMs, forMs, from: a, to: b };
    }
    case "lose-requests":
    case "lose-answers":
      return { kind, atMs, forMs, node, share: rng.pick([0.05, 0.3, 0.8]) };
    case "slow-links":
    case "slow-disk":
      return { kind, atMs, forMs, node, factor: rng.pick([5, 50, 200]) };
    case "hang":
    case "pause":
    case "crash":
    case "restart":
    case "full-disk":
    case "read-only-disk":
    case "unreadable-disk":
    case "pulled-disk":
      return { kind, atMs, forMs, node };
    case "clock-step":
      return { kind, atMs, node, byMs: rng.below(10 * MINUTE_MS) - 5 * MINUTE_MS };
    case "rot":
    case "lose-files":
    case "truncate":
      return { kind, atMs, node, shards: 1 + rng.below(10) };
    case "misdirect":
    case "lose-shards":
    case "die":
      return { kind, atMs, node };
    case "site-dies":
      return { kind, atMs, site: rng.pick(nodes).site };
    case "roll-back":
      return { kind, atMs, node, byMs: rng.below(6 * HOUR_MS) };
    case "cheat":
      return { kind, atMs, node, how: rng.pick(["drop", "garbage", "withhold", "forget"]) };
    case "lie-to-recoveries":
      return { kind, atMs, node, how: rng.pick(["no-records", "nothing"]) };
    case "thief":
      return { kind, atMs, node, how: rng.pick(THEFTS) };
  }
}

/** A pair, one against all, a site against the rest, or two halves. */
function sidesOf(rng: SeededRng, nodes: readonly NodePlan[]): { a: number[]; b: number[] } {
  const all = nodes.map((_, index) => index);
  const [one, other] = rng.shuffled(all);
  const site = rng.pick(nodes).site;
  const inA = (() => {
    switch (rng.below(4)) {
      case 0:
        return (index: number) => index === one;
      case 1:
        return (index: number) => nodes[index]?.site === site;
      case 2:
        return (index: number) => index % 2 === 0;
      default:
        return undefined;
    }
  })();
  if (inA === undefined) return { a: [one ?? 0], b: [other ?? 0] };
  const a = all.filter(inA);
  const b = all.filter((index) => !inA(index));
  return b.length === 0 || a.length === 0 ? { a: [one ?? 0], b: [other ?? 0] } : { a, b };
}
