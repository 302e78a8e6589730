import type { PeerId } from "../base/ids.ts";
import type { Slot } from "../placement/index.ts";
import type { NodeLiveness } from "./liveness.ts";
import type { Trust } from "./trust.ts";

/** A holder as far as it matters for what it holds. */
export interface Holder {
  readonly peer: PeerId;
  readonly site: string;
  readonly host: string;
  readonly liveness: NodeLiveness;
  readonly trust: Trust;
  /** It asks to be relieved: it holds more than it can. */
  readonly isOverfull: boolean;
}

/** What is known of one copy of one shard. */
export interface ShardCopy {
  readonly index: number;
  readonly peer: PeerId;
  /** When it was last vouched for: a receipt, or a Merkle proof in an audit. */
  readonly vouchedMs: number;
  /** When it was last known to be gone or wrong; a later receipt or proof says that it is there again. */
  readonly knownLostMs?: number | undefined;
}

export interface SegmentFacts {
  readonly k: number;
  readonly n: number;
  /** Most shards of the segment at one site. */
  readonly cap: number;
  /** By the map with its repairs: who should hold shard 0 .. n - 1. */
  readonly slots: readonly Slot[];
  readonly copies: readonly ShardCopy[];
  readonly ownerHasBytes: boolean;
}

/** Up as far as anybody can tell, and believed. Unreachable from here alone does not take a node's shards away. */
export function isPresent(holder: Holder | undefined): boolean {
  if (holder === undefined || holder.trust.kind === "suspect") return false;
  return holder.liveness.state !== "absent" && holder.liveness.state !== "lost";
}

/** Heard from here, and believed. */
export function isHeard(holder: Holder | undefined): boolean {
  if (holder === undefined || holder.trust.kind === "suspect") return false;
  return holder.liveness.state === "alive" || holder.liveness.state === "draining";
}
