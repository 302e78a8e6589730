import type { PeerId } from "../base/ids.ts";
import {
  combineSurvival,
  type ExcludeReason,
  type PlacementField,
  type PlacementNode,
  type ReplacementChoice,
  replacementFor,
  type Slot,
  type Survival,
  segmentSurvival,
  survivalKey,
} from "../placement/index.ts";

/** One generation of a row with what lies in it. */
export interface PlannedRow {
  readonly field: PlacementField;
  readonly k: number;
  readonly slots: readonly Slot[];
  /** All shards of one slot of it together. */
  readonly slotBytes: number;
}

export interface RemovalInput {
  readonly rows: readonly PlannedRow[];
  /** Members now, those that go among them. */
  readonly nodes: readonly PlacementNode[];
  readonly remove: ReadonlySet<PeerId>;
  /** Room for shards; who is not named has room for everything. */
  readonly freeBytes: ReadonlyMap<PeerId, number>;
  /** A site takes more than its share where what is left would not survive the loss of a site. @default false */
  readonly mayCrowd?: boolean;
}

export interface PlannedMove {
  /** Position in `rows`. */
  readonly row: number;
  readonly slot: number;
  readonly from: PeerId;
  readonly to: PeerId;
  readonly bytes: number;
}

export interface RemovalPlan {
  readonly moves: readonly PlannedMove[];
  /** Slots for which nobody can be found, and why. */
  readonly stuck: readonly { readonly row: number; readonly slot: number; readonly why: string }[];
  readonly bytes: {
    /** Held by those that go: what has to be somewhere else afterwards. */
    readonly held: number;
    /** Over the network when they hand their shards on themselves (drain): 1 for 1. */
    readonly drained: number;
    /** When they are gone and others rebuild: k are read by one node, which sends all but the one it keeps. */
    readonly rebuilt: number;
    /** When they are gone and every owner lives: 1 for 1 again, from the owners. */
    readonly fromOwners: number;
  };
  readonly received: ReadonlyMap<PeerId, number>;
  /** The worst row in each respect; `undefined` without rows. `during`: all gone, nothing moved yet. */
  readonly survival:
    | { readonly before: Survival; readonly during: Survival; readonly after: Survival }
    | undefined;
}

export function planRemoval(input: RemovalInput): RemovalPlan {
  const exclude = new Map([...input.remove].map((peer): [PeerId, ExcludeReason] => [peer, "removed"]));
  const room = new Room(input);
  const plans = input.rows.map((row, index) => planRow(row, index, input, exclude, room));
  const moves = plans.flatMap((plan) => plan.moves);
  const moved = sum(moves.map(({ bytes }) => bytes));
  return {
    moves,
    stuck: plans.flatMap(({ stuck }) => stuck),
    bytes: {
      held: sum(input.rows.map((row) => row.slotBytes * leaving(row, input.remove).length)),
      drained: moved,
      rebuilt: sum(plans.map(({ rebuiltBytes }) => rebuiltBytes)),
      fromOwners: moved,
    },
    received: room.received,
    survival: survivalOf(input, plans),
  };
}

interface RowPlan {
  readonly slots: readonly Slot[];
  readonly moves: readonly PlannedMove[];
  readonly stuck: RemovalPlan["stuck"];
  readonly rebuiltBytes: number;
}

function leaving({ slots }: PlannedRow, remove: ReadonlySet<PeerId>): { slot: number; from: PeerId }[] {
  return slots.flatMap((from, slot) => (from !== undefined && remove.has(from) ? [{ slot, from }] : []));
}

function planRow(
  row: PlannedRow,
  index: number,
  { nodes, remove, mayCrowd = false }: RemovalInput,
  exclude: ReadonlyMap<PeerId, ExcludeReason>,
  room: Room,
): RowPlan {
  const slots = [...row.slots];
  const moves: PlannedMove[] = [];
  const stuck: { row: number; slot: number; why: string }[] = [];
  for (const { slot, from } of leaving(row, remove)) {
    const candidates = room.withFull(nodes, row.slotBytes);
    const field = { ...row.field, candidates, exclude: new Map([...(row.field.exclude ?? []), ...exclude]) };
    const choice = place(slots, slot, field, mayCrowd && !isSafeWithout(row, nodes, remove));
    if (!choice.ok) {
      stuck.push({ row: index, slot, why: choice.why });
      continue;
    }
    slots[slot] = choice.peer;
    room.take(choice.peer, row.slotBytes);
    moves.push({ row: index, slot, from, to: choice.peer, bytes: row.slotBytes });
  }
  // One of those that receive reads k, keeps its own, and sends the others on.
  const rebuiltBytes = moves.length === 0 ? 0 : (row.k + moves.length - 1) * row.slotBytes;
  return { slots, moves, stuck, rebuiltBytes };
}

function place(
  slots: readonly Slot[],
  slot: number,
  field: PlacementField,
  mayCrowd: boolean,
): ReplacementChoice {
  const choice = replacementFor(slots, slot, field);
  if (choice.ok || !mayCrowd) return choice;
  for (let cap = field.cap + 1; cap <= slots.length; cap++) {
    const crowded = replacementFor(slots, slot, { ...field, cap });
    if (crowded.ok) return crowded;
  }
  return choice;
}

function isSafeWithout(
  { k, slots }: PlannedRow,
  nodes: readonly PlacementNode[],
  remove: ReadonlySet<PeerId>,
): boolean {
  const shards = slots.flatMap((peer, index) => {
    const node = nodes.find((one) => one.peer === peer);
    return node === undefined || remove.has(node.peer) ? [] : [{ index, ...placeOf(node) }];
  });
  return segmentSurvival({ k, n: slots.length, shards }).isSafe;
}

function placeOf({ peer, site, host }: PlacementNode): { peer: PeerId; site: string; host: string } {
  return { peer, site, host };
}

/** Who has room left, while moves are planned one after the other. */
class Room {
  readonly #free: Map<PeerId, number>;
  readonly received = new Map<PeerId, number>();

  constructor({ freeBytes }: RemovalInput) {
    this.#free = new Map(freeBytes);
  }

  withFull(nodes: readonly PlacementNode[], bytes: number): PlacementNode[] {
    return nodes.map((node) =>
      (this.#free.get(node.peer) ?? bytes) < bytes ? { ...node, full: true } : node,
    );
  }

  take(peer: PeerId, bytes: number): void {
    const free = this.#free.get(peer);
    if (free !== undefined) this.#free.set(peer, free - bytes);
    this.received.set(peer, (this.received.get(peer) ?? 0) + bytes);
  }
}

function survivalOf(
  { rows, nodes, remove }: RemovalInput,
  plans: readonly RowPlan[],
): RemovalPlan["survival"] {
  if (rows.length === 0) return undefined;
  const byPeer = new Map(nodes.map((node) => [node.peer, node]));
  const memo = new Map<string, Survival>();
  const survive = (k: number, slots: readonly Slot[], without: ReadonlySet<PeerId>): Survival => {
    const shards = slots.flatMap((peer, index) => {
      const node = peer === undefined || without.has(peer) ? undefined : byPeer.get(peer);
      return node === undefined ? [] : [{ index, peer: node.peer, site: node.site, host: node.host }];
    });
    const segment = { k, n: slots.length, shards };
    const key = survivalKey(segment);
    const known = memo.get(key) ?? segmentSurvival(segment);
    memo.set(key, known);
    return known;
  };
  const none = new Set<PeerId>();
  const each = rows.map((row, index) => ({
    before: survive(row.k, row.slots, none),
    during: survive(row.k, row.slots, remove),
    after: survive(row.k, plans[index]?.slots ?? row.slots, remove),
  }));
  return {
    before: combineSurvival(each.map(({ before }) => before)),
    during: combineSurvival(each.map(({ during }) => during)),
    after: combineSurvival(each.map(({ after }) => after)),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
