import { createHash } from "node:crypto";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import {
  type Incarnation,
  type OwnerId,
  ownerIdOf,
  type PeerId,
  type SegmentId,
  type ShardId,
  segmentKey,
  shardKey,
} from "../../src/base/ids.ts";
import type { BytePath } from "../../src/base/paths.ts";
import type { SnapshotEntry } from "../../src/catalog/index.ts";
import { SegmentSet } from "../../src/catalog/index.ts";
import { NAMESPACE, type Node } from "../../src/node/index.ts";
import { type DataRequest, dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { descriptorCodec } from "../../src/wire/descriptor.ts";
import { decodeSigned } from "../../src/wire/signed.ts";
import type { Answered, SimMachine } from "./machine.ts";

/** Of the records that a node keeps for others, in its database. */
const KEPT_NAMESPACE = must(NAMESPACE.kept[0], "namespace");

/** A segment as its owner put it. */
export interface TrueSegment {
  readonly id: SegmentId;
  readonly k: number;
  readonly n: number;
  /** SHA-256 of each shard's right bytes, as far as one was put. */
  readonly shards: Map<number, string>;
}

/** A snapshot that was acknowledged, and what was in the files then. */
export interface TrueSnapshot {
  readonly owner: OwnerId;
  readonly id: string;
  readonly entry: SnapshotEntry;
  readonly files: ReadonlyMap<BytePath, Uint8Array>;
  segments: readonly SegmentId[];
  readonly atMs: number;
  /** It was acknowledged as safe: enough of the pool had its head. */
  readonly isKept: boolean;
  /** The life that it was saved in. */
  readonly life: Incarnation;
  /** Whether its owner still wants it, or somebody may have given it up. */
  fate: Fate;
}

/**
 * `kept`: nobody has given it up. `maybe`: somebody began to forget it and it is not known whether that came through.
 * `robbed`: a thief with the owner's keys has asked for its deletion, or might have.
 */
export type Fate = "kept" | "maybe" | "forgotten" | "robbed";

export interface Holding {
  readonly machine: SimMachine;
  readonly index: number;
}

export interface Damage {
  readonly machine: SimMachine;
  readonly shard: ShardId;
  readonly atMs: number;
}

/** A promise that somebody gave: this shard is on its disk, synced. */
export interface TrueReceipt {
  readonly machine: SimMachine;
  readonly shard: ShardId;
  readonly atMs: number;
}

/**
 * What really is, as no node knows it: taken from what went over the wire and from the disks themselves. It believes
 * nothing that a node says about itself.
 */
export class Truth {
  readonly segments = new Map<string, TrueSegment>();
  readonly snapshots: TrueSnapshot[] = [];
  /** By holder and shard. */
  readonly receipts = new Map<string, TrueReceipt>();
  /** Shards that an injected fault took or spoilt, by holder and shard: of these nobody can be blamed. */
  readonly damaged = new Map<string, Damage>();
  /** Lives whose keys a thief had. */
  readonly robbed = new Set<string>();
  /** The world's time, for when damage was done. */
  readonly #nowMs: () => number;
  /** By content, as long as nobody wrote into it; damage goes through `damage`, which forgets it. */
  #hashes = new WeakMap<Uint8Array, string>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A shard was put and the holder says that it has it. Returns which rule that breaks, and how. */
  received({ machine, request, answer }: Answered): { oracle: string; message: string } | undefined {
    const asked = dataRequest.decode(request.head);
    if (asked.t === "keep" && dataAnswer.decode(answer.head).t === "kept")
      return machine.metaDisk.hasUnsynced(KEPT_NAMESPACE)
        ? { oracle: "receipt-durable", message: `${machine.name} acknowledged records that are not synced` }
        : undefined;
    if (asked.t !== "put" || dataAnswer.decode(answer.head).t !== "receipt") return undefined;
    const { shard, k, n } = shardOf(asked);
    const sha = sha256Hex(request.body);
    const key = segmentKey(shard);
    const segment = this.segments.get(key) ?? { id: shard, k, n, shards: new Map() };
    this.segments.set(key, segment);
    const known = segment.shards.get(shard.index);
    segment.shards.set(shard.index, known ?? sha);
    const holding = holdingKey(machine.peer, shard);
    this.receipts.set(holding, { machine, shard, atMs: this.#nowMs() });
    this.damaged.delete(holding);
    const name = shardKey(shard);
    if (known !== undefined && known !== sha)
      return { oracle: "one-name-one-shard", message: `two different shards were acknowledged as ${name}` };
    if (this.isIntact(machine, shard)) return undefined;
    return { oracle: "receipt-durable", message: `a receipt for ${name}, which is not on the disk` };
  }

  /** Whether the bytes on this machine's disk are those that the owner put. */
  isIntact(machine: SimMachine, shard: ShardId): boolean {
    const right = this.segments.get(segmentKey(shard))?.shards.get(shard.index);
    const contents = machine.shardDisk.get(shard)?.contents;
    return right !== undefined && contents !== undefined && this.#hashOf(contents) === right;
  }

  /**
   * A holder has dropped what the map looks for elsewhere: its receipt binds it no more. Says what is wrong with that: who is
   * named in its place has to have the shard, unless it lies or a fault took it.
   */
  dropped(machine: SimMachine, key: string, named: SimMachine | undefined): string | undefined {
    const holding = `${machine.peer} ${key}`;
    this.receipts.delete(holding);
    this.damaged.delete(holding);
    const at = key.lastIndexOf("/");
    const segment = this.segments.get(key.slice(0, at));
    if (segment === undefined || named === undefined)
      return `${key} was dropped, and nobody knows what it was`;
    const shard = { ...segment.id, index: Number(key.slice(at + 1)) };
    if (named === machine) return `${key} was dropped by the one that the map names for it`;
    // Heirs that rebuilt it for themselves had it from nobody: which bytes are right was never on the wire.
    const isHeirs = !segment.shards.has(shard.index) && named.shardDisk.get(shard) !== undefined;
    const isExcused =
      isHeirs || !named.isHonest || named.wasRolledBack || named.isDead || this.isDamaged(named, shard);
    return isExcused || this.isIntact(named, shard)
      ? undefined
      : `${key} was dropped, and ${named.name} has not got it`;
  }

  /** A holder's receipt binds it no more: it deleted what its owner does not want. */
  released(machine: SimMachine, shard: ShardId): void {
    this.receipts.delete(holdingKey(machine.peer, shard));
  }

  /** By its name; only what was ever put is known. */
  shardNamed(key: string): ShardId | undefined {
    const at = key.lastIndexOf("/");
    const segment = this.segments.get(key.slice(0, at));
    return segment === undefined ? undefined : { ...segment.id, index: Number(key.slice(at + 1)) };
  }

  /** An injected fault is about to spoil this shard, or has taken it. */
  damage(machine: SimMachine, shard: ShardId): void {
    this.damaged.set(holdingKey(machine.peer, shard), { machine, shard, atMs: this.#nowMs() });
    const contents = machine.shardDisk.get(shard)?.contents;
    if (contents !== undefined) this.#hashes.delete(contents);
  }

  isDamaged(machine: SimMachine, shard: ShardId): boolean {
    return this.damageOf(machine, shard) !== undefined;
  }

  damageOf(machine: SimMachine, shard: ShardId): Damage | undefined {
    return this.damaged.get(holdingKey(machine.peer, shard));
  }

  /** Everything on this machine's disk is gone, or no longer to be relied on. */
  damageAll(machine: SimMachine): void {
    for (const { machine: holder, shard } of this.receipts.values())
      if (holder === machine) this.damage(machine, shard);
    // A disk that was put back has other arrays with the same bytes.
    this.#hashes = new WeakMap();
  }

  /** Who really has an intact shard of the segment, among these machines. */
  holders(id: SegmentId, machines: readonly SimMachine[]): Holding[] {
    const segment = this.segments.get(segmentKey(id));
    if (segment === undefined) return [];
    return machines.flatMap((machine) =>
      [...segment.shards.keys()]
        .filter((index) => this.isIntact(machine, { ...id, index }))
        .map((index) => ({ machine, index })),
    );
  }

  /** Shards that holders have promised and that are there, or that an injected fault took. */
  promisedIndexes(id: SegmentId, machines: readonly SimMachine[]): Set<number> {
    const indexes = [...(this.segments.get(segmentKey(id))?.shards.keys() ?? [])];
    return new Set(
      indexes.filter((index) => {
        const shard = { ...id, index };
        return machines.some(
          (machine) =>
            this.receipts.has(holdingKey(machine.peer, shard)) &&
            (this.isIntact(machine, shard) || this.isDamaged(machine, shard)),
        );
      }),
    );
  }

  /** Distinct intact shards among these machines, minus k. */
  margin(id: SegmentId, machines: readonly SimMachine[]): number {
    const k = this.segments.get(segmentKey(id))?.k ?? Number.POSITIVE_INFINITY;
    return new Set(this.holders(id, machines).map(({ index }) => index)).size - k;
  }

  async acknowledged(
    node: Node,
    entry: SnapshotEntry,
    files: ReadonlyMap<BytePath, Uint8Array>,
    { atMs, isKept }: { readonly atMs: number; readonly isKept: boolean },
  ): Promise<TrueSnapshot> {
    const { repository } = node;
    const manifest = await repository.trees.manifest(entry);
    const { owner, state } = repository.catalog;
    const segments = [...SegmentSet.fromRanges(manifest.needs)].map(({ incarnation, number }) => ({
      owner,
      incarnation: must(state.incarnations[incarnation], "life of a segment"),
      number,
    }));
    const id = toHex(entry.id);
    const life = repository.catalog.incarnation;
    // What the owner saves beside the thief leans on what the thief has given up.
    const fate = this.isRobbed(owner, life) ? "robbed" : "kept";
    const snapshot: TrueSnapshot = { owner, id, entry, files, segments, atMs, isKept, life, fate };
    this.snapshots.push(snapshot);
    return snapshot;
  }

  /** Acknowledged snapshots of this owner that nobody has given up, oldest first. */
  kept(owner?: OwnerId): TrueSnapshot[] {
    return this.snapshots.filter(
      (one) => one.fate === "kept" && (owner === undefined || one.owner === owner),
    );
  }

  /** What reading it takes has changed. */
  needs(
    snapshot: TrueSnapshot,
    { incarnations }: { readonly incarnations: readonly Incarnation[] },
    refs: Iterable<{ readonly incarnation: number; readonly number: number }>,
  ): void {
    snapshot.segments = [...refs].map(({ incarnation, number }) => ({
      owner: snapshot.owner,
      incarnation: must(incarnations[incarnation], "life of a segment"),
      number,
    }));
  }

  /** A thief had the keys of this life. */
  rob(owner: OwnerId, incarnation: Incarnation): void {
    this.robbed.add(incarnationName(owner, incarnation));
    for (const snapshot of this.snapshots)
      if (snapshot.owner === owner && snapshot.fate !== "forgotten") snapshot.fate = "robbed";
  }

  isRobbed(owner: OwnerId, incarnation: Incarnation): boolean {
    return this.robbed.has(incarnationName(owner, incarnation));
  }

  /** Segments that any acknowledged snapshot needs, each once; but of those that were given up. */
  needed(): SegmentId[] {
    const found = new Map<string, SegmentId>();
    for (const { segments } of this.kept()) for (const id of segments) found.set(segmentKey(id), id);
    return [...found.values()];
  }

  #hashOf(contents: Uint8Array): string {
    const known = this.#hashes.get(contents) ?? sha256Hex(contents);
    this.#hashes.set(contents, known);
    return known;
  }
}

function shardOf(put: Extract<DataRequest, { t: "put" }>): { shard: ShardId; k: number; n: number } {
  const signed = decodeSigned(put.descriptor);
  const { k, m } = descriptorCodec.decode(signed.body);
  const owner = ownerIdOf(signed.signer);
  return {
    shard: { owner, incarnation: signed.incarnation, number: signed.epoch, index: put.index },
    k,
    n: k + m,
  };
}

function incarnationName(owner: OwnerId, incarnation: Incarnation): string {
  return `${owner}/${incarnation}`;
}

export function holdingKey(peer: PeerId, shard: ShardId): string {
  return `${peer} ${shardKey(shard)}`;
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
