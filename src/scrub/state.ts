import { z } from "zod";
import { compareBytes } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import { parseShardIdBytes, type ShardId, shardIdBytes } from "../base/ids.ts";
import type { MetaStore } from "../ports/index.ts";
import { bytesOf, codec, count } from "../wire/codec.ts";

/** A round is remembered by so many points; its ages are exact to one part in so many. */
const MARKS_WANTED = 64;
const MARKS_MAX = 2 * MARKS_WANTED;
/** Before every id. */
const FIRST_ID = new Uint8Array(60);
const STATE_KEY = new TextEncoder().encode("state");

/** At `timeMs` the round stood behind this id: what follows it was read later. */
const mark = z.object({ at: bytesOf(60), timeMs: count }).strict();
export type Mark = z.output<typeof mark>;

const counts = { scanned: count, bytes: count, corrupt: count, quarantined: count };
const scrubState = codec(
  "scrub state",
  z
    .object({
      v: z.literal(1),
      /** Set while a node runs: found set at a start, it was not stopped in order. */
      running: z.boolean(),
      paused: z.boolean(),
      /** Nothing that was held at the first start had been read before this time. */
      sinceMs: count,
      round: z
        .object({
          number: count,
          startedMs: count,
          /** Rounds begin and end behind this id; absent until something is held. */
          origin: bytesOf(60).exactOptional(),
          /** The last id that was looked at. */
          after: bytesOf(60).exactOptional(),
          /** The end of all ids is behind us, the origin ahead. */
          wrapped: z.boolean(),
          complete: z.boolean(),
          ...counts,
        })
        .strict(),
      marks: z.array(mark).max(MARKS_MAX),
      /** Of the round before, in the order of this one. */
      earlier: z.array(mark).max(MARKS_MAX),
      last: z
        .object({ number: count, startedMs: count, endedMs: count, ...counts })
        .strict()
        .exactOptional(),
    })
    .strict(),
);
export type ScrubState = ReturnType<(typeof scrubState)["decode"]>;
export type Round = ScrubState["round"];

/** What cannot be read, or is of a later version, is no loss: a new round begins. */
export function loadState(store: MetaStore): ScrubState | undefined {
  const bytes = store.get(STATE_KEY);
  if (bytes === undefined) return undefined;
  try {
    return scrubState.decode(bytes);
  } catch (error) {
    if (!isFault(error)) throw error;
    return undefined;
  }
}

export async function saveState(store: MetaStore, state: ScrubState, sync: boolean): Promise<void> {
  await store.write([{ type: "put", key: STATE_KEY, value: scrubState.encode(state) }], { sync });
}

export function firstState(
  nowMs: number,
  held: { readonly oldestReceivedMs: number; readonly origin: ShardId | undefined },
): ScrubState {
  const origin = held.origin === undefined ? {} : { origin: shardIdBytes(held.origin) };
  return {
    v: 1,
    running: true,
    paused: false,
    sinceMs: Math.min(nowMs, held.oldestReceivedMs),
    round: { ...emptyRound(nowMs), number: 1, ...origin },
    marks: [],
    earlier: [],
  };
}

function emptyRound(nowMs: number): Omit<Round, "number"> {
  const startedMs = nowMs;
  return { startedMs, wrapped: false, complete: false, scanned: 0, bytes: 0, corrupt: 0, quarantined: 0 };
}

/** The next id after the cursor belongs to this round, or ends it. */
export function isPast(round: Round, id: ShardId): boolean {
  return round.wrapped && round.origin !== undefined && compareBytes(shardIdBytes(id), round.origin) > 0;
}

export function cursorOf(round: Round): ShardId | undefined {
  const at = round.after ?? (round.wrapped ? undefined : round.origin);
  return at === undefined ? undefined : parseShardIdBytes(at);
}

/** The list has ended: on to its beginning if the round began in the middle, else the round is complete. */
export function atEnd(round: Round): Round {
  if (round.wrapped || round.origin === undefined) return { ...round, complete: true };
  const { after: _, ...rest } = round;
  return { ...rest, wrapped: true };
}

/** One more shard was looked at. */
export function advanced(
  state: ScrubState,
  id: ShardId,
  looked: { readonly bytes: number; readonly corrupt: number; readonly quarantined: number },
  at: { readonly nowMs: number; readonly bytesTotal: number },
): ScrubState {
  const { round } = state;
  const after = shardIdBytes(id);
  const next: Round = {
    ...round,
    after,
    scanned: round.scanned + 1,
    bytes: round.bytes + looked.bytes,
    corrupt: round.corrupt + looked.corrupt,
    quarantined: round.quarantined + looked.quarantined,
  };
  const per = Math.max(1, at.bytesTotal / MARKS_WANTED);
  const isDue = Math.floor(next.bytes / per) > Math.floor(round.bytes / per);
  const marks = isDue ? thinned([...state.marks, { at: after, timeMs: at.nowMs }]) : state.marks;
  return { ...state, round: next, marks };
}

/** Much more came while the round went on than was there when it began. */
function thinned(marks: readonly Mark[]): Mark[] {
  return marks.length < MARKS_MAX ? [...marks] : marks.filter((_, position) => position % 2 === 0);
}

/**
 * A new round from where this one stands, so that no byte's turn comes later than it would have.
 * @param firstOrigin where the first round begins that finds something
 */
export function nextRound(state: ScrubState, nowMs: number, firstOrigin?: ShardId): ScrubState {
  const { round } = state;
  const stands = round.complete ? round.origin : positionOf(round);
  const origin = stands ?? (firstOrigin === undefined ? undefined : shardIdBytes(firstOrigin));
  const next = {
    ...emptyRound(nowMs),
    number: round.number + 1,
    ...(origin === undefined ? {} : { origin }),
  };
  return { ...state, round: next, marks: [], earlier: earlierThan(state, origin) };
}

function earlierThan(state: ScrubState, origin: Uint8Array | undefined): Mark[] {
  const { round } = state;
  // The order is another one now.
  if (round.origin === undefined && origin !== undefined && round.complete)
    return [{ at: origin, timeMs: round.startedMs }];
  return thinned(round.complete ? startOf(state) : rotated(state));
}

function positionOf(round: Round): Uint8Array | undefined {
  return round.after ?? (round.wrapped ? FIRST_ID : round.origin);
}

/** The marks of a round, its beginning included. */
function startOf({ round, marks }: ScrubState): Mark[] {
  const start = round.origin ?? FIRST_ID;
  return thinned([{ at: start, timeMs: round.startedMs }, ...marks]);
}

/** What lies ahead was read in the round before, what lies behind in this one. */
function rotated(state: ScrubState): Mark[] {
  const { round, earlier } = state;
  if (round.after === undefined && !round.wrapped) return [...earlier];
  const at = round.after ?? FIRST_ID;
  const ahead = earlier.filter((one) => compareInRound(round, one.at, at) > 0);
  return [{ at, timeMs: aheadSinceMs(state) }, ...ahead, ...startOf(state)];
}

/** Since when the oldest byte ahead of the cursor was not read: what the round before knows of that place. */
function aheadSinceMs({ round, earlier, sinceMs }: ScrubState): number {
  const at = round.after ?? (round.wrapped ? FIRST_ID : undefined);
  if (at === undefined) return earlier[0]?.timeMs ?? sinceMs;
  const passed = earlier.filter((one) => compareInRound(round, one.at, at) <= 0);
  return passed.at(-1)?.timeMs ?? earlier[0]?.timeMs ?? sinceMs;
}

/** Order of ids as the round meets them: those behind its origin first; the origin itself, as a mark, before all. */
function compareInRound({ origin }: Round, a: Uint8Array, b: Uint8Array): number {
  if (origin === undefined) return compareBytes(a, b);
  const lap = (id: Uint8Array): number => (compareBytes(id, origin) >= 0 ? 0 : 1);
  return lap(a) - lap(b) || compareBytes(a, b);
}

/** Before this time no byte that is held was read last, or received. */
export function oldestMs(state: ScrubState): number {
  const { round } = state;
  return round.complete ? round.startedMs : Math.min(round.startedMs, aheadSinceMs(state));
}
