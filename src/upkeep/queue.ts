import { assert } from "../base/assert.ts";
import type { Assessment } from "./assess.ts";
import type { SlotWork } from "./slot-work.ts";

/** One segment with something to do. */
export interface RepairItem {
  /** `segmentKey`: what breaks ties, the same everywhere. */
  readonly key: string;
  readonly margin: number;
  /** Slots to work on now; never empty. */
  readonly slots: readonly SlotWork[];
  /** When the first of them came due. */
  readonly dueMs: number;
  /** What one shard weighs. */
  readonly shardBytes: number;
}

/** An absent shard whose grace is over by half goes along with one that is due: k are read once for both. */
const GOES_ALONG = 0.5;

export interface DueInput {
  readonly key: string;
  readonly shardBytes: number;
  readonly assessment: Pick<Assessment, "work" | "presentMargin">;
  readonly nowMs: number;
}

/** What is to be done about a segment now; `undefined` when nothing is due. */
export function dueItem({ key, shardBytes, assessment, nowMs }: DueInput): RepairItem | undefined {
  const due = assessment.work.filter(({ dueMs }) => dueMs <= nowMs);
  if (due.length === 0) return undefined;
  const readsOthers = due.some(({ how }) => how !== "copy");
  const along = assessment.work.filter((work) => {
    if (!readsOthers || work.dueMs <= nowMs || work.why !== "absent") return false;
    return nowMs - work.sinceMs >= (work.dueMs - work.sinceMs) * GOES_ALONG;
  });
  const slots = [...due, ...along].sort((a, b) => a.slot - b.slot);
  const dueMs = Math.min(...due.map((work) => work.dueMs));
  return { key, margin: assessment.presentMargin, slots, dueMs, shardBytes };
}

/** When the next slot comes due, so that nobody has to look before; `undefined`: never without news. */
export function nextDueMs({ work }: Pick<Assessment, "work">, nowMs: number): number | undefined {
  const ahead = work.filter(({ dueMs }) => dueMs > nowMs).map(({ dueMs }) => dueMs);
  return ahead.length === 0 ? undefined : Math.min(...ahead);
}

/**
 * The smallest margin first; then what rebuilds before what only moves; then the longest due; then the smaller, which
 * is done sooner; then by key.
 */
export function compareItems(a: RepairItem, b: RepairItem): number {
  return (
    a.margin - b.margin ||
    Number(onlyMoves(a)) - Number(onlyMoves(b)) ||
    a.dueMs - b.dueMs ||
    bytesOf(a) - bytesOf(b) ||
    (a.key < b.key ? -1 : Number(a.key > b.key))
  );
}

function onlyMoves({ slots }: RepairItem): boolean {
  return slots.every(({ how, why }) => how === "copy" && MOVES.has(why));
}

const MOVES: ReadonlySet<string> = new Set(["draining", "site-rule", "same-peer", "overfull"]);

function bytesOf({ shardBytes, slots }: RepairItem): number {
  return shardBytes * slots.length;
}

/** Segments that wait in memory; the next round of assessing finds the others again. */
export const QUEUE_MAX = 4096;

/**
 * What is to be repaired, the most urgent first. A value: `queueWith` makes the next. Beyond `max` the least urgent are
 * left out and counted, whatever the order in which they came.
 */
export interface RepairQueue {
  readonly items: readonly RepairItem[];
  readonly max: number;
  /** Entries turned away because of the bound, over the queue's life. */
  readonly turnedAway: number;
}

export function emptyQueue(max: number = QUEUE_MAX): RepairQueue {
  assert(max >= 1, "a queue has room");
  return { items: [], max, turnedAway: 0 };
}

/** Newer words about a segment replace the older ones. */
export function queueWith(queue: RepairQueue, items: readonly RepairItem[]): RepairQueue {
  const byKey = new Map(queue.items.map((item) => [item.key, item]));
  for (const item of items) byKey.set(item.key, item);
  const sorted = [...byKey.values()].sort(compareItems);
  const beyond = Math.max(0, sorted.length - queue.max);
  return {
    items: sorted.slice(0, queue.max),
    max: queue.max,
    turnedAway: queue.turnedAway + beyond,
  };
}

export function queueWithout(queue: RepairQueue, keys: ReadonlySet<string>): RepairQueue {
  return { ...queue, items: queue.items.filter(({ key }) => !keys.has(key)) };
}
