import { lstatSync } from "node:fs";
import { type SegmentId, type ShardId, segmentKey, shardKey } from "../../src/base/ids.ts";
import { type Copy, distinct, losable } from "../full/oracles/honest.ts";
import type { DaemonMachine } from "./machine.ts";
import { type FoundShard, listShards, readIntact, type Contents as ShardContents } from "./shard-files.ts";
import type { Contents } from "./tree.ts";

/** A segment as the disks show it. */
export interface SegmentLook {
  readonly id: SegmentId;
  /** `undefined` where no shard of it is whole. */
  readonly k: number | undefined;
  /** Whole where they lie, or taken by an injected fault. */
  readonly copies: readonly Copy[];
}
export type DiskLook = ReadonlyMap<string, SegmentLook>;

/** A snapshot that was acknowledged, and what was in the files then. */
export interface TrueSnapshot {
  readonly machine: DaemonMachine;
  readonly id: string;
  readonly contents: Contents;
  readonly state: string;
  readonly survives: { readonly sites: number; readonly nodes: number };
  /** What the disks had of this owner right after. */
  readonly look: DiskLook;
}

interface Hit {
  readonly machine: DaemonMachine;
  readonly shard: ShardId;
}

/** What really is, from the disks themselves. It believes nothing that a daemon says about itself. */
export class Truth {
  readonly snapshots: TrueSnapshot[] = [];
  /** Shards that an injected fault took or spoilt. */
  readonly #hits = new Map<string, Hit>();
  /** Segments that acknowledged snapshots may need, with how many shards each needs. */
  readonly #needed = new Map<string, { readonly id: SegmentId; readonly k: number }>();
  readonly #checked = new Map<
    string,
    { readonly version: string; readonly contents: ShardContents | undefined }
  >();

  intact(shard: FoundShard): ShardContents | undefined {
    const stat = lstatSync(shard.path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const version = `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs}`;
    const known = this.#checked.get(shard.path);
    if (known?.version === version) return known.contents;
    const contents = readIntact(shard);
    this.#checked.set(shard.path, { version, contents });
    return contents;
  }

  /** An injected fault is about to spoil this shard, or has taken it. */
  hit(machine: DaemonMachine, shard: ShardId): void {
    machine.wasHit = true;
    this.#hits.set(`${machine.peerId} ${shardKey(shard)}`, { machine, shard });
  }

  get hits(): readonly Hit[] {
    return [...this.#hits.values()];
  }

  /** What lies on the disks of these machines of one owner's, or of everybody's. */
  look(machines: readonly DaemonMachine[], owner?: string): DiskLook {
    const found = new Map<string, { id: SegmentId; k: number | undefined; copies: Copy[] }>();
    const add = (machine: DaemonMachine, shard: ShardId, k: number | undefined): void => {
      const key = segmentKey(shard);
      const { index, ...id } = shard;
      const segment = found.get(key) ?? { id, k, copies: [] };
      segment.k ??= k;
      const copy = { index, peer: machine.peerId, site: machine.site };
      if (!segment.copies.some((one) => one.index === index && one.peer === copy.peer))
        segment.copies.push(copy);
      found.set(key, segment);
    };
    for (const machine of machines.filter(({ isDead }) => !isDead)) {
      for (const shard of listShards(machine.shardsFolder)) {
        if (owner !== undefined && shard.id.owner !== owner) continue;
        const contents = this.intact(shard);
        if (contents !== undefined) add(machine, shard.id, contents.k);
      }
    }
    for (const { machine, shard } of this.#hits.values())
      if (machines.includes(machine) && (owner === undefined || shard.owner === owner))
        add(machine, shard, undefined);
    return found;
  }

  /** Of the owner whose node it is, wherever they were made; the newest last. */
  snapshotsOf({ ownerId }: DaemonMachine): TrueSnapshot[] {
    return this.snapshots.filter(({ machine }) => machine.ownerId === ownerId);
  }

  acknowledged(snapshot: TrueSnapshot): void {
    this.snapshots.push(snapshot);
    for (const [key, { id, k, copies }] of snapshot.look)
      if (k !== undefined && distinct(copies) >= k) this.#needed.set(key, { id, k });
  }

  /** Of the segments that acknowledged snapshots may need: the fewest whole shards on these machines, less k. */
  leastMargin(machines: readonly DaemonMachine[]): number {
    const indexes = new Map<string, Set<number>>();
    for (const machine of machines.filter(({ isDead }) => !isDead)) {
      for (const shard of listShards(machine.shardsFolder)) {
        const key = segmentKey(shard.id);
        if (!this.#needed.has(key) || this.intact(shard) === undefined) continue;
        const known = indexes.get(key) ?? new Set();
        indexes.set(key, known.add(shard.id.index));
      }
    }
    const margins = [...this.#needed].map(([key, { k }]) => (indexes.get(key)?.size ?? 0) - k);
    return Math.min(Number.POSITIVE_INFINITY, ...margins);
  }
}

/** What a segment survives, by trying every choice. */
export function survivalOf({ k, copies }: SegmentLook): { sites: number; nodes: number } {
  const need = k ?? 1;
  return {
    sites: losable(copies, need, ({ site }) => site),
    nodes: losable(copies, need, ({ peer }) => peer),
  };
}
