import type { PeerId } from "../base/ids.ts";
import {
  type Apart,
  type ExcludeReason,
  type PlacementNode,
  rankCandidates,
  replacementFor,
  type Slot,
} from "../placement/index.ts";
import { ranksFor } from "../upkeep/index.ts";
import type { ClaimCauseBody } from "../wire/repair.ts";

export interface SlotMove {
  readonly slot: number;
  readonly cause: ClaimCauseBody;
  /** Who has the slot has the shard, too, and gives it. */
  readonly copies: boolean;
  /** Who has the slot never comes back: a segment that cannot be made anew now does not hold the others up. */
  readonly fromIsLost: boolean;
}

export interface Chosen {
  readonly move: SlotMove;
  readonly from: Slot;
  readonly to: PeerId;
  readonly rank: number;
  /** Its site takes more than its share. */
  readonly isOverCap: boolean;
}

export interface StuckMove {
  readonly slot: number;
  readonly why: string;
}

/** Position of each listed candidate in the order for the row, drawn once for all slots. */
interface Ranked extends ChoiceInput {
  readonly ranks: ReadonlyMap<PeerId, number>;
}

/** For people and logs. */
export function stuckWords(stuck: readonly StuckMove[]): string {
  return stuck.map(({ slot, why }) => `slot ${slot}: ${why}`).join("; ");
}

export interface RowChoice {
  readonly chosen: readonly Chosen[];
  /** Slots that nobody could be found for. */
  readonly stuck: readonly StuckMove[];
}

export interface ChoiceInput {
  /** Who has each slot now. */
  readonly slots: readonly Slot[];
  readonly moves: readonly SlotMove[];
  /** Another copy is worth more than the site rule. */
  readonly mayCrowd: boolean;
  readonly key: Uint8Array;
  readonly cap: number;
  readonly ownerPeer: PeerId | undefined;
  /** Candidates that did not take a shard of the row just now. */
  readonly refused: ReadonlyMap<PeerId, ExcludeReason>;
  /** Candidates by the roster that the record will name: ranks are counted in it. Without the owner's node. */
  readonly listed: readonly PlacementNode[];
  /** Members as they are now. */
  readonly nodes: readonly PlacementNode[];
  readonly apart: Apart;
}

/**
 * Who takes the slots of a row that are to move. Where all of them find somebody, those who leave count for no site. Where some
 * do not, these stay with who has them, who may come back with its shard: then it fills its site, and nobody goes there in the
 * place of another.
 */
export function chooseHolders(given: ChoiceInput): RowChoice {
  const ranks = rankCandidates(given.key, given.listed).map(({ peer }, rank) => [peer, rank] as const);
  const input = { ...given, ranks: new Map(ranks) };
  const together = pass(
    input,
    withoutMoving(input, () => true),
    input.moves,
  );
  if (together.stuck.length === 0) return together;
  let row = withoutMoving(input, ({ cause, fromIsLost }) => fromIsLost || cause.t === "convicted");
  let left = input.moves;
  const chosen: Chosen[] = [];
  for (;;) {
    // Each that finds somebody may make room at the site it leaves.
    const round = pass(input, row, left);
    chosen.push(...round.chosen);
    if (round.chosen.length === 0 || round.stuck.length === 0) return { chosen, stuck: round.stuck };
    row = row.map((peer, slot) => round.chosen.find(({ move }) => move.slot === slot)?.to ?? peer);
    left = left.filter(({ slot }) => round.stuck.some((one) => one.slot === slot));
  }
}

function withoutMoving({ slots, moves }: ChoiceInput, isGone: (move: SlotMove) => boolean): Slot[] {
  const gone = new Set(moves.filter(isGone).map(({ slot }) => slot));
  return slots.map((peer, slot) => (gone.has(slot) ? undefined : peer));
}

/** One after the other, each in the row as those before have left it. */
function pass(input: Ranked, before: readonly Slot[], moves: readonly SlotMove[]): RowChoice {
  const row = [...before];
  const chosen: Chosen[] = [];
  const stuck: StuckMove[] = [];
  for (const move of moves) {
    const found = holderFor(input, row, move);
    if ("why" in found) stuck.push(found);
    else {
      row[move.slot] = found.to;
      chosen.push(found);
    }
  }
  return { chosen, stuck };
}

function holderFor(input: Ranked, row: readonly Slot[], move: SlotMove): Chosen | StuckMove {
  const { key, cap, ownerPeer, ranks, nodes: candidates, apart } = input;
  const { slot } = move;
  const from = input.slots[slot];
  const exclude = excludedFor(input, from);
  // Who is not to take this slot may well have another, and fills its site there.
  const choice = replacementFor(row, slot, {
    ...{ key, cap, candidates, ownerPeer, exclude, excludedMayReturn: true, apart },
  });
  // A copy that is there gains nothing at another site that has its share: it would go back and forth for ever.
  const mayCrowd = input.mayCrowd && move.cause.t !== "site-rule";
  const to = choice.ok ? choice.peer : mayCrowd ? choice.overCap : undefined;
  const rank = to === undefined ? undefined : ranks.get(to);
  if (to === undefined || rank === undefined)
    return { slot, why: choice.ok ? "the candidate is too new" : choice.why };
  return { move, from, to, rank, isOverCap: !choice.ok };
}

function excludedFor({ slots, refused, ranks, nodes }: Ranked, from: Slot): Map<PeerId, ExcludeReason> {
  const exclude = new Map(refused);
  if (from !== undefined) exclude.set(from, "not wanted");
  for (const { peer } of nodes) {
    const rank = ranks.get(peer);
    if (rank === undefined || rank >= ranksFor(slots.length)) exclude.set(peer, "not wanted");
  }
  return exclude;
}
