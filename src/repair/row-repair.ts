import { must } from "../base/assert.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type ShardId, type SwarmId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Signer } from "../crypto/sign.ts";
import type { SwarmView } from "../exchange/index.ts";
import {
  type ExcludeReason,
  type GenerationAt,
  rankCandidates,
  rowKey,
  rowOf,
  type Slot,
} from "../placement/index.ts";
import type { Clock, ShardStore } from "../ports/index.ts";
import { type Descriptor, readDescriptor } from "../wire/descriptor.ts";
import type { Introductions } from "./introductions.ts";
import { Inventory, RowStrays, STRAYS_MAX } from "./inventory.ts";
import type { RepairedMap } from "./judge.ts";
import type { Pace } from "./pace.ts";
import type { Introduce, RepairLink, RepairPeers } from "./peers.ts";
import type { Rebuilder, Rebuilt, ShardSource } from "./rebuild.ts";
import { receiptEnvelope, recordCause, signClaim, signRepair } from "./records.ts";
import { type KnownRoster, rosterAt, rosterEpochAt } from "./roster-at.ts";
import { type Chosen, chooseHolders, type RowChoice, type SlotMove, type StuckMove } from "./row-choice.ts";
import type { RowProgress, RowTarget } from "./row-progress.ts";
import { type HeldSegment, merged, segmentsOfRow } from "./row-segments.ts";

export interface RowJob {
  readonly map: RepairedMap;
  readonly at: GenerationAt;
  readonly moves: readonly SlotMove[];
  /** Of what is present. */
  readonly margin: number;
  /** The shards are copied, and no record says so: the slots stay with who has them. */
  readonly isCopyOnly?: boolean;
  /** Nobody to be asked for shards: away, or not believed. */
  readonly isOut: (peer: PeerId) => boolean;
  readonly signal: AbortSignal;
  readonly onBytes?: (out: number) => void;
}

export type RowOutcome =
  | {
      readonly kind: "moved";
      readonly records: readonly Uint8Array[];
      readonly to: readonly PeerId[];
      /** Slots whose new holder's site has more than its share. */
      readonly overCap: readonly number[];
      readonly segments: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
      /** Slots that nobody could be found for. */
      readonly stuck: readonly StuckMove[];
    }
  | { readonly kind: "stuck"; readonly slots: readonly StuckMove[] }
  /** This node knows of no segment of the row. */
  | { readonly kind: "nothing" };

/** A row of one life, in every generation. */
export interface MovedRow {
  readonly owner: RepairedMap["owner"];
  readonly life: RepairedMap["incarnation"];
  readonly classId: number;
  readonly partition: number;
}

export interface RowRepairComponents {
  readonly self: PeerId;
  readonly view: Pick<SwarmView, "nodes" | "apart">;
  readonly roster: KnownRoster & {
    memberOfOwner(owner: RepairedMap["owner"]): { readonly peer: PeerId } | undefined;
  };
  readonly shards: Pick<ShardStore, "list" | "quarantined" | "stat">;
  readonly rebuilder: Pick<Rebuilder, "rebuild">;
  readonly peers: Pick<RepairPeers, "under" | "silent">;
  readonly introductions: Pick<Introductions, "tell">;
  readonly progress: RowProgress;
  readonly isGivenUp: (shard: ShardId) => boolean;
  /** Brings what is locked of a row to those who hold it from now on. */
  readonly locks: {
    bring(row: MovedRow, to: readonly PeerId[], signal: AbortSignal): Promise<void>;
  };
  readonly pace: Pace;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
}

/** Candidates tried for one slot, one after the other, before the row is left for another time. */
const TRIES_MAX = 8;
/** A claim is believed for the slack of the clocks; long before that it is signed anew. */
const CLAIM_MS = 60_000;
/** With so few shards to lose nothing is spared the uplink, and the site rule gives way to another copy. */
const URGENT_MARGIN_MAX = 1;

interface Placed {
  readonly descriptor: Descriptor;
  readonly envelope: Uint8Array;
  readonly receipts: ReadonlyMap<number, Uint8Array>;
}

/**
 * Moves slots of one generation of a row to other holders: every segment of it that this node knows, one after the other,
 * then a record for each slot. A record is made when all of them are placed, so that it never names a holder that has only
 * some. Where it stood is on disk: who dies goes on there.
 */
export class RowRepair {
  readonly #c: RowRepairComponents;
  readonly #swarm: SwarmId;
  readonly #settleMs: number;

  /** @param init.settleMs after so long a certificate is known everywhere, and its node is a candidate */
  constructor(components: RowRepairComponents, init: { swarm: SwarmId; settleMs: number }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#settleMs = init.settleMs;
  }

  async run(job: RowJob): Promise<RowOutcome> {
    const refused = new Map<PeerId, ExcludeReason>();
    for (let attempt = 0; ; attempt++) {
      const { chosen, stuck } = this.#choose(job, refused);
      if (chosen.length === 0) return { kind: "stuck", slots: stuck };
      const outcome = await this.#fill(job, chosen);
      if (outcome.kind === "nothing") return outcome;
      if (outcome.kind === "filled") {
        const records = job.isCopyOnly === true ? [] : this.#records(job, chosen, outcome.placed);
        const { segments, bytesIn, bytesOut } = outcome;
        const to = chosen.map((one) => one.to);
        await this.#c.locks.bring(rowOfJob(job), to, job.signal);
        const overCap = chosen.flatMap(({ move, isOverCap }) => (isOverCap ? [move.slot] : []));
        await this.#c.progress.forget(job.map, job.at);
        return { kind: "moved", records, to, overCap, segments, bytesIn, bytesOut, stuck };
      }
      for (const { peer, why } of outcome.refused) refused.set(peer, why);
      if (attempt + 1 >= TRIES_MAX) {
        const why = "one candidate after the other refused";
        return { kind: "stuck", slots: chosen.map(({ move }) => ({ slot: move.slot, why })) };
      }
    }
  }

  #choose(job: RowJob, refused: ReadonlyMap<PeerId, ExcludeReason>): RowChoice {
    const { map, at, moves, margin } = job;
    const { roster, view, clock } = this.#c;
    const { class: of } = must(map.now.classes.get(at.classId), "class of the map");
    const ownerPeer = roster.memberOfOwner(map.owner)?.peer;
    const epoch = rosterEpochAt(roster, clock.wallMs(), this.#settleMs);
    const listed = rosterAt(roster, epoch)?.candidates ?? [];
    return chooseHolders({
      slots: slotsOfGeneration(map, at),
      moves,
      mayCrowd: margin <= URGENT_MARGIN_MAX,
      ...{ key: rowKey(map.owner, of, at.partition), cap: of.cap, ownerPeer, refused },
      ...{
        listed: listed.filter(({ peer }) => peer !== ownerPeer),
        nodes: view.nodes(),
        apart: view.apart(),
      },
    });
  }

  async #fill(
    job: RowJob,
    chosen: readonly Chosen[],
  ): Promise<
    | {
        readonly kind: "filled";
        readonly placed: Placed;
        readonly segments: number;
        readonly bytesIn: number;
        readonly bytesOut: number;
      }
    | { readonly kind: "refused"; readonly refused: readonly { peer: PeerId; why: ExcludeReason }[] }
    | { readonly kind: "nothing" }
  > {
    const { map, at, signal } = job;
    const targets = chosen.map(({ move, to }) => ({ slot: move.slot, to }));
    const known = this.#c.progress.load(map, at, targets, this.#c.clock.wallMs());
    const link = new ClaimedLink(this.#c, job, chosen, this.#swarm);
    let placed: Placed | undefined = known === undefined ? undefined : this.#opened(known);
    let [segments, bytesIn, bytesOut, unmade] = [0, 0, 0, 0];
    const others = { map, at, link: () => link.current(), signal, log: this.#c.log };
    const strays = new RowStrays(others, this.#outside(job));
    const inventory = await this.#inventory(job, new Inventory(others), known?.upTo);
    // Read from the index as it goes: what the owner puts meanwhile has a higher number, and comes along.
    const own = segmentsOfRow(this.#c.shards, map, at, known?.upTo);
    for await (const held of merged(own, inventory.segments())) {
      signal.throwIfAborted();
      const descriptor = readDescriptor(held.envelope, this.#swarm);
      let rebuilt: Rebuilt;
      try {
        rebuilt = await this.#rebuild(job, held, { descriptor, targets, link, strays });
      } catch (error) {
        if (!isFault(error, "TOO_FEW_SHARDS", "SEGMENT_UNREADABLE")) throw error;
        this.#c.log.error("repair-segment-failed", {
          segment: segmentKey(held.segment),
          why: messageOf(error),
        });
        if (!chosen.every(({ move }) => move.fromIsLost)) throw error;
        unmade++;
        continue;
      }
      if (rebuilt.failed.length > 0) {
        const refused = rebuilt.failed.map(({ peer, fault }) => ({ peer, why: reasonOf(fault) }));
        return { kind: "refused", refused };
      }
      segments++;
      bytesIn += rebuilt.bytesIn;
      bytesOut += rebuilt.bytesOut;
      job.onBytes?.(rebuilt.bytesOut);
      placed = { descriptor, envelope: held.envelope, receipts: this.#receipts(descriptor, rebuilt) };
      await this.#c.progress.save(map, at, targets, held, placed.receipts);
      await this.#paid(rebuilt.bytesOut, job);
    }
    if (placed !== undefined) return { kind: "filled", placed, segments, bytesIn, bytesOut };
    if (unmade > 0)
      throw new Fault({ code: "NOT_ALLOWED", reason: "no segment of the row can be made anew now" });
    return { kind: "nothing" };
  }

  /** From who is named, and where that is not enough from whoever says to have some of it. */
  async #rebuild(
    job: RowJob,
    { envelope }: HeldSegment,
    {
      descriptor,
      targets,
      link,
      strays,
    }: {
      readonly descriptor: Descriptor;
      readonly targets: readonly RowTarget[];
      readonly link: ClaimedLink;
      readonly strays: RowStrays;
    },
  ): Promise<Rebuilt> {
    const sources = this.#sources(job, descriptor);
    const rebuild = (from: readonly ShardSource[]): Promise<Rebuilt> =>
      this.#c.rebuilder.rebuild({
        ...{ descriptor, envelope, sources: from, link: link.current(), signal: job.signal },
        targets: targets.map(({ slot, to }) => ({ index: slot, peer: to })),
      });
    try {
      return await rebuild(sources);
    } catch (error) {
      if (!isFault(error, "TOO_FEW_SHARDS")) throw error;
      const found = await strays.sourcesOf(descriptor.segment.number);
      if (found.length === 0) throw error;
      this.#c.log.info("strays-found", { segment: segmentKey(descriptor.segment), shards: found.length });
      return rebuild([...sources, ...found]);
    }
  }

  /** Where the shard itself is handed on, the repairer need not know of others. */
  async #inventory(job: RowJob, inventory: Inventory, after: number | undefined): Promise<Inventory> {
    const { map, at, moves, isOut } = job;
    const { self, shards, isGivenUp } = this.#c;
    if (moves.every(({ copies }) => copies)) return inventory;
    const slots = slotsOfGeneration(map, at);
    const own = slots.flatMap((peer, index) => (peer === self ? [index] : []));
    const { owner, incarnation } = map;
    const isKnown = (number: number): boolean =>
      own.some((index) => shards.stat({ owner, incarnation, number, index }) !== undefined) ||
      isGivenUp({ owner, incarnation, number, index: own[0] ?? 0 });
    const peers = new Set(slots.filter((peer) => peer !== undefined && peer !== self && !isOut(peer)));
    await inventory.ask(
      [...peers].flatMap((peer) => peer ?? []),
      after,
      isKnown,
    );
    return inventory;
  }

  /** Members that the row does not name, the likeliest to have something of it first. */
  #outside({ map, at, isOut }: RowJob): PeerId[] {
    const { self, view } = this.#c;
    const of = must(map.now.classes.get(at.classId), "class of the map").class;
    const named = new Set(slotsOfGeneration(map, at));
    return rankCandidates(rowKey(map.owner, of, at.partition), view.nodes())
      .filter(({ peer, reachable }) => reachable && peer !== self && !named.has(peer) && !isOut(peer))
      .slice(0, STRAYS_MAX)
      .map(({ peer }) => peer);
  }

  /** What must not wait is sent at once, and paid for by what comes after it. */
  async #paid(bytesOut: number, { margin, signal }: RowJob): Promise<void> {
    const { pace, clock } = this.#c;
    pace.sent(bytesOut);
    if (margin > URGENT_MARGIN_MAX && pace.leftMs() > 0) await clock.sleep(pace.leftMs(), signal);
  }

  #opened({
    envelope,
    receipts,
  }: {
    envelope: Uint8Array;
    receipts: ReadonlyMap<number, Uint8Array>;
  }): Placed {
    return { descriptor: readDescriptor(envelope, this.#swarm), envelope, receipts };
  }

  /** Own disk first, then who has the slots now, then who had them by the owner's map: they may be back. */
  #sources({ map, at, moves, isOut }: RowJob, { segment, roots }: Descriptor): ShardSource[] {
    const { self, shards } = this.#c;
    const now = slotsOfGeneration(map, at);
    const signed = rowOf(map.signed, at.classId, at.partition).find(
      ({ fromSegment }) => fromSegment === at.fromSegment,
    );
    const moved = new Map(moves.map((move) => [move.slot, move]));
    const sources: ShardSource[] = [];
    for (const index of roots.keys()) {
      if (shards.stat({ ...segment, index }) !== undefined) sources.push({ index, peer: self });
      const move = moved.get(index);
      if (move !== undefined && !move.copies) continue;
      const peers = new Set([now[index], signed?.slots[index]?.peer]);
      for (const peer of peers)
        if (peer !== undefined && peer !== self && !isOut(peer)) sources.push({ index, peer });
    }
    return sources;
  }

  #receipts({ segment, roots }: Descriptor, { placed }: Rebuilt): Map<number, Uint8Array> {
    return new Map(
      placed.map(({ index, receipt }) => {
        const shard: ShardId = { ...segment, index };
        return [index, receiptEnvelope(shard, must(roots[index], "root"), receipt, this.#swarm)];
      }),
    );
  }

  #records({ map, at }: RowJob, chosen: readonly Chosen[], placed: Placed): Uint8Array[] {
    const { clock, roster, signer } = this.#c;
    const rosterEpoch = rosterEpochAt(roster, clock.wallMs(), this.#settleMs);
    return chosen.map(({ move, from, to, rank }) => {
      const version = versionOf(map, at, move.slot);
      const body = {
        ...bodyOfSlot(map, at, move.slot, version.ownerVersion, from),
        repairs: version.repairs + 1,
        ...{ to, rank, rosterEpoch, cause: recordCause(move.cause), descriptor: placed.envelope },
        receipt: must(placed.receipts.get(move.slot), "receipt of a moved slot"),
        timeMs: clock.wallMs(),
      };
      return signRepair(body, this.#swarm, signer);
    });
  }
}

function rowOfJob({ map, at: { classId, partition } }: RowJob): MovedRow {
  return { owner: map.owner, life: map.incarnation, classId, partition };
}

/** Fetches under the claim of one of the slots, puts under the claim of each, and signs them anew before they are too old. */
class ClaimedLink {
  readonly #c: RowRepairComponents;
  readonly #job: RowJob;
  readonly #chosen: readonly Chosen[];
  readonly #swarm: SwarmId;
  #signedMs = Number.NEGATIVE_INFINITY;
  #link: RepairLink | undefined;

  constructor(components: RowRepairComponents, job: RowJob, chosen: readonly Chosen[], swarm: SwarmId) {
    this.#c = components;
    this.#job = job;
    this.#chosen = chosen;
    this.#swarm = swarm;
  }

  current(): RepairLink {
    const nowMs = this.#c.clock.monotonicMs();
    if (this.#link === undefined || nowMs - this.#signedMs > CLAIM_MS) {
      this.#link = this.#make();
      this.#signedMs = nowMs;
    }
    return this.#link;
  }

  #make(): RepairLink {
    const { map, at } = this.#job;
    const { clock, signer, peers, introductions } = this.#c;
    const introduce: Introduce = (peer, signal) => introductions.tell(peer, map, at, signal);
    const links = new Map(
      this.#chosen.map(({ move, from }) => {
        const version = versionOf(map, at, move.slot);
        const body = {
          ...bodyOfSlot(map, at, move.slot, version.ownerVersion, from),
          repairs: version.repairs,
          cause: move.cause,
          timeMs: clock.wallMs(),
        };
        return [move.slot, peers.under(signClaim(body, this.#swarm, signer), introduce)];
      }),
    );
    const [first] = links.values();
    const fetching = must(first, "a slot that moves");
    return {
      silent: peers.silent,
      getShard: (peer, shard, known, signal) =>
        (links.get(shard.index) ?? fetching).getShard(peer, shard, known, signal),
      list: (peer, after, signal) => fetching.list(peer, after, signal),
      put: (peer, shard, descriptor, body, signal) =>
        must(links.get(shard.index), "slot that moves").put(peer, shard, descriptor, body, signal),
    };
  }
}

/** For people and logs. */
export function rowName(
  { incarnation }: RepairedMap,
  { classId, partition, fromSegment }: GenerationAt,
): string {
  return `${incarnation.slice(0, 8)}/${classId}/${partition}/${fromSegment}`;
}

/** What names a slot in claims and records. */
export function bodyOfSlot(
  { owner, incarnation }: RepairedMap,
  { classId, partition, fromSegment }: GenerationAt,
  slot: number,
  ownerVersion: number,
  from: Slot,
) {
  const place = { owner, incarnation, class: classId, partition, fromSegment, slot, ownerVersion };
  return { ...place, ...(from === undefined ? {} : { from }) };
}

export function slotsOfGeneration(map: RepairedMap, at: GenerationAt): Slot[] {
  return slotsAt(map, at).map(({ peer }) => peer);
}

export function versionOf(
  map: RepairedMap,
  at: GenerationAt,
  slot: number,
): { readonly ownerVersion: number; readonly repairs: number } {
  return must(slotsAt(map, at)[slot], "slot of a generation");
}

function slotsAt(map: RepairedMap, at: GenerationAt) {
  const generation = rowOf(map.now, at.classId, at.partition).find(
    ({ fromSegment }) => fromSegment === at.fromSegment,
  );
  return must(generation, "generation of the map").slots;
}

function reasonOf(fault: Fault): ExcludeReason {
  if (fault.code === "NO_ROOM") return "full";
  return fault.code === "PEER_REFUSED" ? "refused" : "not wanted";
}
