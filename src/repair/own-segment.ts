import { must } from "../base/assert.ts";
import { type Fault, isFault } from "../base/fault.ts";
import { type PeerId, type ShardId, type SwarmId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRef } from "../catalog/index.ts";
import {
  type OwnerMaps,
  type Placer,
  type SegmentReader,
  type Strays,
  splitShards,
  spoolName,
} from "../exchange/index.ts";
import type { Slot } from "../placement/index.ts";
import type { MetaOp, Spool } from "../ports/index.ts";
import { permissionFor, type Weather } from "../upkeep/index.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import type { OwnSegment } from "./own-facts.ts";
import { type Crowding, mayCrowd, type OwnPlanner, type PlannedStep, type SegmentPlan } from "./own-plan.ts";
import type { PlacedAnew, Rebuilder, RebuildJob, Rebuilt, ShardSource, ShardTarget } from "./rebuild.ts";

export interface OwnSegmentComponents {
  readonly self: PeerId;
  readonly swarm: SwarmId;
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly placer: Pick<Placer, "alone">;
  readonly reader: Pick<SegmentReader, "descriptor">;
  readonly rebuilder: Pick<Rebuilder, "rebuild">;
  /** Asked where those whom receipts name have too little. */
  readonly strays: Pick<Strays, "of" | "find">;
  /** A holder turned a shard down: it is not asked for a while. */
  readonly onRefused: (peer: PeerId) => void;
  /** A source turned out not to have its shard, or to have something else. */
  readonly onLost: (peer: PeerId, ref: SegmentRef, index: number) => void;
  /** A holder has acknowledged the shard, at this time by its clock. */
  readonly onPlaced: (peer: PeerId, shard: ShardId, timeMs: number) => Promise<void>;
  readonly log: Log;
}

export type SegmentOutcome =
  /** Somebody has seen to it meanwhile, or its time has not come. */
  | { readonly kind: "nothing" }
  | { readonly kind: "waits"; readonly why: "cut-off" | "frozen"; readonly untilMs: number | undefined }
  | {
      readonly kind: "acted";
      readonly repaired: number;
      /** Shards that nobody took. */
      readonly failed: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
    };

/** Decides anew, with what is known when its turn comes. */
export interface SegmentTurn {
  readonly planner: OwnPlanner;
  readonly weather: Weather;
  /** Whether all that lies in its generation goes from this slot, so that the row as a whole can say so. */
  readonly movesGeneration: (generation: string, slot: number) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Has the shards of one segment where they belong again. Who holds them is in the catalog, in one synced write with the
 * row that says so, after their holders have acknowledged them: a crash before leaves shards that nobody counts, and the
 * next try asks the same holders, who have them by then.
 */
export async function repairSegment(
  c: OwnSegmentComponents,
  ref: SegmentRef,
  turn: SegmentTurn,
): Promise<SegmentOutcome> {
  const record = c.catalog.segments.get(ref);
  if (record === undefined) return { kind: "nothing" };
  return c.placer.alone(ref, record.class, async () => {
    // Whatever had the row before may have changed it.
    const now = must(c.catalog.segments.get(ref), "segment record");
    const segment = turn.planner.segment(ref, now);
    const plan = turn.planner.plan(segment);
    if (plan.steps.length === 0) return { kind: "nothing" };
    const margin = now.spooled ? Math.max(0, plan.assessment.presentMargin) : plan.assessment.presentMargin;
    const permission = permissionFor(turn.weather, { margin, ownerIsAlive: true });
    if (permission.kind === "wait")
      return { kind: "waits", why: permission.why, untilMs: permission.untilMs };
    return act(c, segment, plan, turn);
  });
}

async function act(
  c: OwnSegmentComponents,
  segment: OwnSegment,
  plan: SegmentPlan,
  turn: SegmentTurn,
): Promise<SegmentOutcome> {
  const { ref, record } = segment;
  const descriptor = await c.reader.descriptor(ref, turn.signal);
  const envelope = must(c.catalog.segments.get(ref)?.descriptor, "descriptor of a segment that was read");
  const choices: Choices = {
    slots: slotsWith(segment.facts.slots, plan.steps),
    crowding: new Map(plan.steps.map(({ slot, crowding }) => [slot, crowding])),
  };
  const rebuilt = await rebuildOrFind(c, segment, {
    descriptor: readDescriptor(envelope, c.swarm),
    envelope,
    sources: sourcesOf(c, segment, plan),
    targets: plan.steps.map(({ slot, to }): ShardTarget => ({ index: slot, peer: to })),
    instead: (index, refused) => insteadOf(turn.planner, segment, plan, choices, index, refused),
    signal: turn.signal,
  });
  for (const { peer, fault } of rebuilt.failed) if (isRefusal(fault)) c.onRefused(peer);
  await forgetBad(c, ref, rebuilt);
  const row = await commit(c, segment, rebuilt.placed, turn);
  for (const { peer, index, receipt } of rebuilt.placed)
    await c.onPlaced(peer, { ...descriptor.segment, index }, receipt.timeMs);
  const bytes = descriptor.shardBytes;
  for (const placed of rebuilt.placed)
    logRepair(c, ref, stepOf(plan, placed.index), placed, { bytes, row, choices });
  const { bytesIn, bytesOut } = rebuilt;
  const outcome = { repaired: rebuilt.placed.length, failed: rebuilt.failed.length, bytesIn, bytesOut };
  c.log.debug("segment-repaired", { segment: nameOf(c, ref), k: record.k, ...outcome });
  return { kind: "acted", ...outcome };
}

/** Who is to have which slot, and what that makes of the sites: others than planned, where somebody refuses. */
interface Choices {
  readonly slots: Slot[];
  readonly crowding: Map<number, Crowding>;
}

/** Once more where too few gave their shards, if somebody else has some. */
async function rebuildOrFind(
  c: OwnSegmentComponents,
  { ref }: OwnSegment,
  job: RebuildJob & { readonly signal: AbortSignal },
): Promise<Rebuilt> {
  try {
    return await c.rebuilder.rebuild({ ...job, sources: [...job.sources, ...c.strays.of(ref)] });
  } catch (error) {
    if (!isFault(error, "TOO_FEW_SHARDS") || (await c.strays.find([ref], job.signal)) === 0) throw error;
    return c.rebuilder.rebuild({ ...job, sources: [...job.sources, ...c.strays.of(ref)] });
  }
}

function slotsWith(slots: readonly Slot[], steps: readonly PlannedStep[]): Slot[] {
  const changed = [...slots];
  for (const { slot, to } of steps) changed[slot] = to;
  return changed;
}

/** Who is present, what is known to be there first of all on the own disk. */
function sourcesOf(c: OwnSegmentComponents, { record }: OwnSegment, plan: SegmentPlan): ShardSource[] {
  const own = record.spooled
    ? Array.from({ length: record.k }, (_, index): ShardSource => ({ index, peer: c.self }))
    : [];
  return [...own, ...plan.sources];
}

/** The next candidate; a shard that its own holder does not take again is left for the next time, when more is known. */
function insteadOf(
  planner: OwnPlanner,
  segment: OwnSegment,
  plan: SegmentPlan,
  { slots, crowding }: Choices,
  index: number,
  refused: ReadonlySet<PeerId>,
): PeerId | undefined {
  const step = plan.steps.find(({ slot }) => slot === index);
  if (step === undefined || step.stays) return undefined;
  const options = { refused, mayCrowd: mayCrowd(plan.assessment, step.why) };
  const choice = planner.replacement(segment, slots, index, options);
  if (!choice.ok) return undefined;
  slots[index] = choice.peer;
  crowding.set(index, choice.crowding);
  return choice.peer;
}

/** For want of room, or by its own decision: the time to try somebody else. Silence is none. */
function isRefusal(fault: Fault): boolean {
  return isFault(fault, "NO_ROOM", "PEER_REFUSED");
}

async function forgetBad(c: OwnSegmentComponents, ref: SegmentRef, rebuilt: Rebuilt): Promise<void> {
  for (const { index, peer } of [...rebuilt.missing, ...rebuilt.wrong]) {
    if (peer === c.self) continue;
    if (await c.catalog.segments.forget(ref, index, peer)) c.onLost(peer, ref, index);
  }
}

/** Receipts and, where somebody else has a shard now, the row: in one write. Returns the row where all of it moved. */
async function commit(
  c: OwnSegmentComponents,
  { ref, record, facts, generation }: OwnSegment,
  placed: readonly PlacedAnew[],
  turn: SegmentTurn,
): Promise<string | undefined> {
  if (placed.length === 0) return undefined;
  const receipts = new Map(placed.map(({ index, receipt }) => [index, receipt]));
  const write = async (ops: readonly MetaOp[]): Promise<void> => {
    await c.catalog.segments.update(
      ref,
      (known) => ({ ...known, slots: known.slots.map((slot, index) => receipts.get(index) ?? slot) }),
      { sync: true },
      ops,
    );
  };
  const moved = new Map(
    placed.filter(({ index, peer }) => facts.slots[index] !== peer).map(({ index, peer }) => [index, peer]),
  );
  if (moved.size === 0) {
    await write([]);
    return undefined;
  }
  const isWhole = [...moved.keys()].every((slot) => turn.movesGeneration(generation, slot));
  await c.maps.move(record.class, ref.number, moved, isWhole ? "generation" : "segment", (op) => write([op]));
  return isWhole ? nameOfRow(c, ref, generation) : undefined;
}

function logRepair(
  c: OwnSegmentComponents,
  ref: SegmentRef,
  { from, why }: PlannedStep,
  { index, peer }: PlacedAnew,
  about: { readonly bytes: number; readonly row: string | undefined; readonly choices: Choices },
): void {
  const { bytes, row, choices } = about;
  const crowding = choices.crowding.get(index);
  c.log.info("shard-repaired", {
    segment: nameOf(c, ref),
    ...(row === undefined ? {} : { row }),
    index,
    from,
    to: peer,
    reason: why,
    bytes,
    ...(crowding === "over" ? { overCap: true } : {}),
    ...(crowding === "once-back" ? { overCapOnceBack: true } : {}),
  });
}

function stepOf({ steps }: SegmentPlan, index: number): PlannedStep {
  return must(
    steps.find(({ slot }) => slot === index),
    "step of a repair",
  );
}

/** As others' repairs name it. */
function nameOfRow({ catalog }: OwnSegmentComponents, ref: SegmentRef, generation: string): string {
  const { incarnation } = catalog.segmentId(ref);
  return `${incarnation.slice(0, 8)}${generation.slice(generation.indexOf("/"))}`;
}

function nameOf({ catalog }: OwnSegmentComponents, ref: SegmentRef): string {
  return segmentKey(catalog.segmentId(ref));
}

/** For `readOwn` of the rebuilder: data shards of a segment that is still in the spool, read once for all of them. */
export class SpooledShards {
  readonly #catalog: Catalog;
  readonly #spool: Pick<Spool, "get">;
  #last: { readonly name: string; readonly shards: readonly Uint8Array[] } | undefined;

  constructor(components: { catalog: Catalog; spool: Pick<Spool, "get"> }) {
    this.#catalog = components.catalog;
    this.#spool = components.spool;
  }

  /** A copy of its own each time. */
  readonly read = async (shard: ShardId): Promise<Uint8Array | undefined> => {
    const incarnation = this.#catalog.state.incarnations.indexOf(shard.incarnation);
    const record = this.#catalog.segments.get({ incarnation, number: shard.number });
    if (shard.owner !== this.#catalog.owner || record?.spooled !== true) return undefined;
    const name = spoolName(shard);
    if (this.#last?.name !== name) {
      const sealed = await this.#spool.get(name);
      if (sealed === undefined) return undefined;
      this.#last = { name, shards: splitShards(sealed, record.k) };
    }
    return this.#last.shards[shard.index]?.slice();
  };

  /** The segment is done with. */
  forget(): void {
    this.#last = undefined;
  }
}
