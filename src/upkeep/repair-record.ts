import type { Incarnation, OwnerId, PeerId } from "../base/ids.ts";
import type { GenerationAt, Slot } from "../placement/index.ts";

/**
 * One slot of an owner's map has a new holder, without the owner. It carries all that everybody needs to check it. A
 * value of this type has been opened: every signature in it, and the Merkle proof of the receipt's leaf, held.
 */
export interface RepairRecord {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly at: GenerationAt;
  readonly slot: number;
  /** Of the owner's map that it continues. */
  readonly ownerVersion: number;
  /** One more than the record (or the owner's map) before. */
  readonly repairs: number;
  /** Who had the slot until now. */
  readonly from: Slot;
  readonly to: PeerId;
  /** Position of `to` among the candidates of the row, in the roster at `rosterEpoch`. */
  readonly rank: number;
  readonly rosterEpoch: number;
  readonly cause: RepairCause;
  readonly receipt: RepairReceipt;
  readonly madeMs: number;
  /** Of the signed record. */
  readonly hash: Uint8Array;
}

/** The new holder's word that a shard of this slot is on its disk, with a leaf of it. */
export interface RepairReceipt {
  readonly peer: PeerId;
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly segment: number;
  readonly index: number;
  readonly timeMs: number;
}

/** An observer's signed word that it had not heard the holder since then. */
export interface SilenceWitness {
  readonly observer: PeerId;
  readonly target: PeerId;
  readonly silentSinceMs: number;
  readonly atMs: number;
}

/**
 * Why the slot moves. Nothing here is the repairer's opinion: it is others' signatures, the roster, or the map itself. A
 * shard that its holder has lost is mended in place and needs no record.
 */
export type RepairCause =
  | { readonly kind: "absent"; readonly witnesses: readonly SilenceWitness[] }
  /** Its own signed answer, which is wrong or contradicts its receipt. */
  | { readonly kind: "convicted"; readonly target: PeerId }
  /** Declared lost by administrators, or no member any more. */
  | { readonly kind: "gone-from-roster" }
  /** The owner's signed word about this slot at this version. */
  | { readonly kind: "owner-says"; readonly ownerVersion: number; readonly holder: PeerId }
  /** The holder's own signed word. */
  | { readonly kind: "draining"; readonly holder: PeerId; readonly saidMs: number }
  | { readonly kind: "overfull"; readonly holder: PeerId; readonly saidMs: number }
  /** `cap` lower slots of the row are at its site, or a lower one is its own: by the map with its repairs. */
  | { readonly kind: "site-rule" }
  | { readonly kind: "same-peer" }
  | { readonly kind: "empty" };

/** Which slot of which row a record is about. */
export function slotKeyOf({ owner, incarnation, at, slot }: RepairRecord): string {
  return `${owner}/${incarnation}/${at.classId}/${at.partition}/${at.fromSegment}/${slot}`;
}
