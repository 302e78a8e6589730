import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { OwnerId, PeerId, ShardId, SwarmId } from "../base/ids.ts";
import { segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS, MINUTE_MS } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signed } from "../crypto/signed.ts";
import type { Holder, KeptRecords, OwnerRegistry } from "../exchange/index.ts";
import type { GenerationAt } from "../placement/index.ts";
import type { Clock, NetMessage, ShardStore } from "../ports/index.ts";
import { type DataAnswer, dataAnswer, type RepairRequest } from "../wire/data.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { mapBody } from "../wire/head.ts";
import { LISTED_SHARDS_MAX, REPAIR_MESSAGE_BYTES_MAX, REPAIRS_MAX_IN_MESSAGE } from "../wire/repair.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { RepairBook } from "./book.ts";
import type { RepairedMap, RepairJudge } from "./judge.ts";
import { openClaim, type RepairClaim } from "./records.ts";
import { shardsOfRow } from "./row-segments.ts";

export interface RepairDoorComponents {
  readonly book: RepairBook;
  readonly judge: RepairJudge;
  readonly holder: Pick<Holder, "readWhole" | "storeFor" | "answerRefusals">;
  readonly kept: Pick<KeptRecords, "keep" | "maps">;
  readonly shards: Pick<ShardStore, "list" | "stat">;
  readonly registry: Pick<OwnerRegistry, "certifiedIncarnation">;
  readonly roster: { memberOfOwner(owner: OwnerId): { readonly peer: PeerId } | undefined };
  readonly self: PeerId;
  /** Whose data this node itself is the origin of. */
  readonly ownOwner: OwnerId;
  readonly clock: Clock;
  readonly log: Log;
}

/** A claim that was looked at is believed, or not, for so long: a row of shards comes with one. */
const JUDGED_MS = MINUTE_MS;
const JUDGED_MAX = 1024;
/** Whoever says that it lost a shard is helped so often a day with the same segment. */
const MENDS_A_DAY = 3;
const MENDS_MAX = 10_000;

/** Slots of which it is remembered who works on them. */
const WORK_MAX = 4096;

export interface WorkSeen {
  readonly by: PeerId;
  readonly atMs: number;
  readonly cause: RepairClaim["cause"]["kind"];
}

interface Judged {
  readonly claim: RepairClaim;
  /** Whether a segment is of the generation that the claim is about. */
  readonly places: (segment: number) => boolean;
  readonly refusal: string | undefined;
  /** Else it may be this node that knows too little. */
  readonly isLie: boolean;
  readonly untilMs: number;
}

/**
 * Where members that repair for an owner are served: a shard is given out or taken in for somebody else than its owner
 * under a signed claim alone, which says why the slot needs it and holds by what this node itself knows. Whoever's does not is
 * refused and named in the log.
 */
export class RepairDoor {
  readonly #c: RepairDoorComponents;
  readonly #swarm: SwarmId;
  readonly #judged = new Map<string, Judged>();
  readonly #mends = new Map<string, { count: number; untilMs: number }>();
  /** By slot: who showed a claim for it last that held, and when. */
  readonly #work = new Map<string, WorkSeen>();
  #refused = 0;

  constructor(components: RepairDoorComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
  }

  /** Requests for others' shards refused since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** Who else was last seen at work on a slot, as far as it asked this node for shards; wall clock. */
  workedOnBy({ owner, incarnation }: RepairedMap, at: GenerationAt, slot: number): WorkSeen | undefined {
    return this.#work.get(slotName({ owner, incarnation, at, slot }));
  }

  /** @param mayWrite whether this node takes anything in */
  answer(from: PeerId, message: RepairRequest, body: Uint8Array, mayWrite: boolean): Promise<NetMessage> {
    return this.#c.holder.answerRefusals(async () => {
      switch (message.t) {
        case "repair-get":
          return this.#get(from, message.claim, message.number, message.index);
        case "repair-put":
          if (!mayWrite) throw notAllowed("this is for reading only");
          return this.#put(from, message, body);
        case "repair-list":
          return this.#list(from, message);
        case "repaired":
          if (!mayWrite) throw notAllowed("this is for reading only");
          return this.#take(from, message);
        case "repairs":
          return this.#records(message);
      }
    });
  }

  /** What an owner's recovery identity may ask: the records of that owner. */
  answerRecovery(owner: OwnerId, message: RepairRequest): Promise<NetMessage> {
    return this.#c.holder.answerRefusals(async () => {
      if (message.t !== "repairs" || message.owner !== owner) throw notAllowed("this is for members");
      return this.#records(message);
    });
  }

  async #records(message: Extract<RepairRequest, { t: "repairs" }>): Promise<NetMessage> {
    const { owner, digest, after } = message;
    if (equalBytes(await this.#c.book.digest(owner), digest))
      return reply({ t: "repairs", v: 1, records: [], more: false });
    const bounds = { records: REPAIRS_MAX_IN_MESSAGE, bytes: REPAIR_MESSAGE_BYTES_MAX };
    const page = await this.#c.book.page(owner, after, bounds);
    return reply({ t: "repairs", v: 1, ...page });
  }

  async #get(from: PeerId, bytes: Uint8Array, number: number, index: number): Promise<NetMessage> {
    const claim = await this.#allowed(from, bytes, number);
    const { owner, incarnation } = claim;
    const shard: ShardId = { owner, incarnation, number, index };
    if (claim.cause.kind === "mend") this.#countMend(claim, shard);
    const answer = await this.#c.holder.readWhole(shard);
    this.#c.log.info("repair-served", { to: from, shard: segmentKey(shard), index, cause: claim.cause.kind });
    return answer;
  }

  async #list(from: PeerId, message: Extract<RepairRequest, { t: "repair-list" }>): Promise<NetMessage> {
    const { owner, incarnation, at } = await this.#allowed(from, message.claim);
    const maps = await this.#c.book.maps(owner);
    const map = must(
      maps.find((one) => one.incarnation === incarnation),
      "map of a claim that holds",
    );
    const shards: [number: number, index: number][] = [];
    for await (const [number, indexes] of shardsOfRow(this.#c.shards, map, at, message.after)) {
      if (shards.length + indexes.length > LISTED_SHARDS_MAX)
        return reply({ t: "listed", v: 1, shards, more: true });
      for (const index of indexes) shards.push([number, index]);
    }
    return reply({ t: "listed", v: 1, shards, more: false });
  }

  async #put(
    from: PeerId,
    message: Extract<RepairRequest, { t: "repair-put" }>,
    body: Uint8Array,
  ): Promise<NetMessage> {
    const descriptor = readDescriptor(message.descriptor, this.#swarm);
    const { number } = descriptor.segment;
    const claim = await this.#allowed(from, message.claim, number);
    const isOfClaim =
      descriptor.segment.owner === claim.owner &&
      descriptor.segment.incarnation === claim.incarnation &&
      descriptor.class === claim.at.classId &&
      message.index === claim.slot;
    if (!isOfClaim) throw this.#refusal(from, claim, "the shard is not of the slot that it claims");
    if (claim.owner === this.#c.ownOwner) throw notAllowed("the owner's own node holds no shards of it");
    return this.#c.holder.storeFor(claim.owner, message.index, message.descriptor, body);
  }

  async #take(from: PeerId, message: Extract<RepairRequest, { t: "repaired" }>): Promise<NetMessage> {
    const { owner } = message;
    const certified = this.#c.registry.certifiedIncarnation(owner);
    const known = knownOf(await this.#c.kept.maps(owner));
    const isOwner = this.#c.roster.memberOfOwner(owner)?.peer === from;
    // One by one: what is older than what is here says nothing about the others.
    for (const record of owner === this.#c.ownOwner ? [] : message.kept) {
      const signed = decodeSigned(record);
      // A fenced life says nothing new to those who know it, but by the node that was put in the place of its own; a new holder has to
      // hear of its rows at all.
      const isFenced = certified !== undefined && signed.incarnation !== certified;
      const mayBeNews = isOwner && signed.type === "map";
      if (isFenced && !mayBeNews && isKnownOf(known, signed)) continue;
      await this.#c.kept.keep(owner, [record], certified).catch((error: unknown) => {
        if (!isFault(error, "RECORD_STALE", "NOT_ALLOWED")) throw error;
        this.#c.log.debug("record-not-kept", { owner, from, why: messageOf(error) });
      });
    }
    const outcome = await this.#c.book.offer(owner, message.records, from);
    // What was refused for want of what came now is to be looked at again.
    for (const [key, { claim }] of [...this.#judged]) if (claim.owner === owner) this.#judged.delete(key);
    return reply({ t: "taken", v: 1, ...outcome });
  }

  async #allowed(from: PeerId, bytes: Uint8Array, number?: number): Promise<RepairClaim> {
    const key = toHex(sha256(bytes));
    const nowMs = this.#c.clock.monotonicMs();
    const known = this.#judged.get(key);
    const judged = known !== undefined && known.untilMs > nowMs ? known : await this.#judge(bytes);
    if (judged !== known) this.#remember(key, judged);
    if (judged.claim.by !== from) throw this.#refusal(from, judged.claim, "somebody else signed the claim");
    if (judged.refusal !== undefined)
      throw this.#refusal(from, judged.claim, judged.refusal, number, judged.isLie ? "warn" : "info");
    if (number !== undefined && !judged.places(number))
      throw this.#refusal(from, judged.claim, "the segment is not of the row that it claims", number);
    this.#noteWork(judged.claim);
    return judged.claim;
  }

  async #judge(bytes: Uint8Array): Promise<Judged> {
    const claim = openClaim(bytes, this.#swarm);
    const maps = await this.#c.book.maps(claim.owner);
    const map = maps.find(({ incarnation }) => incarnation === claim.incarnation);
    const verdict = this.#c.judge.claim(claim, map);
    const refusal = verdict.kind === "refused" ? verdict.reason : undefined;
    const isLie = verdict.kind === "refused" && verdict.isLie;
    const places = segmentsOf(map, claim.at);
    return { claim, places, refusal, isLie, untilMs: this.#c.clock.monotonicMs() + JUDGED_MS };
  }

  #noteWork(claim: RepairClaim): void {
    const name = slotName(claim);
    this.#work.delete(name);
    this.#work.set(name, { by: claim.by, atMs: this.#c.clock.wallMs(), cause: claim.cause.kind });
    const [oldest] = this.#work.keys();
    if (this.#work.size > WORK_MAX && oldest !== undefined) this.#work.delete(oldest);
  }

  #remember(key: string, judged: Judged): void {
    this.#judged.delete(key);
    this.#judged.set(key, judged);
    const [oldest] = this.#judged.keys();
    if (this.#judged.size > JUDGED_MAX && oldest !== undefined) this.#judged.delete(oldest);
  }

  #countMend(claim: RepairClaim, shard: ShardId): void {
    const key = `${claim.by}/${segmentKey(shard)}`;
    const nowMs = this.#c.clock.monotonicMs();
    const known = this.#mends.get(key);
    const count = known === undefined || known.untilMs <= nowMs ? 0 : known.count;
    if (count >= MENDS_A_DAY)
      throw this.#refusal(
        claim.by,
        claim,
        "it says again and again that it lost the same shard",
        shard.number,
      );
    this.#mends.delete(key);
    this.#mends.set(key, { count: count + 1, untilMs: count === 0 ? nowMs + DAY_MS : (known?.untilMs ?? 0) });
    const [oldest] = this.#mends.keys();
    if (this.#mends.size > MENDS_MAX && oldest !== undefined) this.#mends.delete(oldest);
  }

  #refusal(
    from: PeerId,
    claim: RepairClaim,
    why: string,
    segment?: number,
    level: "info" | "warn" = "warn",
  ): Fault {
    this.#refused++;
    const { owner, slot, cause } = claim;
    this.#c.log[level]("repair-claim-refused", { asker: from, owner, segment, slot, cause: cause.kind, why });
    return notAllowed(why);
  }
}

/** Lives, and their classes, of which there are maps. */
function knownOf(maps: readonly Signed[]): ReadonlySet<string> {
  return new Set(maps.flatMap((map) => [map.incarnation, classKey(map)]));
}

function isKnownOf(known: ReadonlySet<string>, record: Signed): boolean {
  return known.has(record.type === "map" ? classKey(record) : record.incarnation);
}

function classKey({ incarnation, body }: Signed): string {
  return `${incarnation}/${mapBody.decode(body).class}`;
}

/** Keeps three numbers and not the map. */
function segmentsOf(map: RepairedMap | undefined, at: GenerationAt): (segment: number) => boolean {
  const rows = map?.signed.classes.get(at.classId);
  if (rows === undefined) return () => false;
  const { partitions } = rows;
  const row = rows.rows[at.partition] ?? [];
  const end = row.find(({ fromSegment }) => fromSegment > at.fromSegment)?.fromSegment;
  return (segment) =>
    segment % partitions === at.partition &&
    segment >= at.fromSegment &&
    segment < (end ?? Number.POSITIVE_INFINITY);
}

function slotName({
  owner,
  incarnation,
  at,
  slot,
}: Pick<RepairClaim, "owner" | "incarnation" | "at" | "slot">): string {
  return `${owner}/${incarnation}/${at.classId}/${at.partition}/${at.fromSegment}/${slot}`;
}

function reply(answer: DataAnswer): NetMessage {
  return { head: dataAnswer.encode(answer), body: new Uint8Array(0) };
}

function notAllowed(reason: string): Fault {
  return new Fault({ code: "NOT_ALLOWED", reason });
}
