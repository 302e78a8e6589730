import { z } from "zod";
import { equalBytes } from "../base/bytes.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { codec, count, OWN_SHAPE } from "../wire/codec.ts";
import { type Locator, locator } from "../wire/head.ts";
import { stateKey } from "./keys.ts";
import { SegmentRangeSet } from "./range-set.ts";
import { type Manifest, type SegmentRanges, type SnapshotEntry, segmentRanges } from "./records.ts";
import { SegmentSet } from "./segment-ranges.ts";

const KEY = stateKey("moves");

/** What has become of segments that manifests name, stored with the repository: manifests themselves never change. */
export const movesCodec = codec(
  "moved segments",
  z
    .object({
      v: z.literal(1),
      /** Manifests up to this sequence number were made before; those of later ones name what they need themselves. */
      upTo: count,
      /** Named by manifests on the list, and needed by none of them any more. */
      gone: segmentRanges,
      /** What chunks of these snapshots lie in that their manifests do not name: all of them are taken to need all of it. */
      instead: segmentRanges,
    })
    .strict(),
  OWN_SHAPE,
);

const state = codec(
  "own moves",
  z
    .object({
      v: z.literal(1),
      upTo: count,
      gone: segmentRanges,
      instead: segmentRanges,
      /** Copied elsewhere and about to be given up: nothing new leans on them. */
      left: segmentRanges,
      /** Where the newest head's copy lies; absent while it says less than this. */
      at: locator.exactOptional(),
      /** Rises with every change. */
      revision: count,
    })
    .strict(),
  OWN_SHAPE,
);

export type MovesState = Omit<ReturnType<(typeof state)["decode"]>, "v">;

const NOTHING: MovesState = { upTo: 0, gone: [], instead: [], left: [], revision: 0 };

/**
 * What a snapshot needs now. A manifest says what it took when it was made; since then the index may have been written anew, and
 * chunks may have been copied into other segments.
 */
export class Moves {
  readonly state: MovesState;
  readonly #gone = new SegmentRangeSet();
  readonly #left = new SegmentRangeSet();

  constructor(of: MovesState) {
    this.state = of;
    this.#gone.addAll(of.gone);
    this.#left.addAll(of.left);
  }

  static load(store: Pick<MetaStore, "get">): Moves {
    const value = store.get(KEY);
    if (value === undefined) return new Moves(NOTHING);
    const { v: _, ...known } = state.decode(value);
    return new Moves(known);
  }

  get gone(): SegmentRangeSet {
    return this.#gone;
  }

  /** Nothing has moved: a head says nothing about it. */
  get isEmpty(): boolean {
    return this.state.gone.length === 0 && this.state.instead.length === 0;
  }

  isGone(ref: { readonly incarnation: number; readonly number: number }): boolean {
    return this.#gone.has(ref);
  }

  /** Nothing new is to lean on it: it is on its way out. */
  isLeft(ref: { readonly incarnation: number; readonly number: number }): boolean {
    return this.#left.has(ref) || this.#gone.has(ref);
  }

  /** What the manifest of this snapshot names and is still needed, and what took the place of the rest. */
  needsOf({ sequence }: Pick<SnapshotEntry, "sequence">, { needs }: Pick<Manifest, "needs">): SegmentSet {
    const all = new SegmentSet();
    for (const ref of SegmentSet.fromRanges(needs)) if (!this.#gone.has(ref)) all.add(ref);
    if (sequence <= this.state.upTo) all.addAll(SegmentSet.fromRanges(this.state.instead));
    return all;
  }

  /** The same, of many snapshots together. */
  needsOfAll(
    snapshots: Iterable<readonly [Pick<SnapshotEntry, "sequence">, Pick<Manifest, "needs">]>,
  ): SegmentRangeSet {
    const named = new SegmentRangeSet();
    let isOld = false;
    for (const [{ sequence }, { needs }] of snapshots) {
      named.addAll(needs);
      isOld ||= sequence <= this.state.upTo;
    }
    const all = named.without(this.#gone);
    if (isOld) all.addAll(this.state.instead);
    return all;
  }

  /** Whether it says all of this already. */
  isSame(change: Pick<MovesState, "upTo" | "gone" | "instead" | "left">): boolean {
    const { upTo, gone, instead, left } = this.state;
    if (gone.length + instead.length + left.length === 0)
      return change.gone.length + change.instead.length + change.left.length === 0;
    const { at: _, ...own } = this.state;
    const same = { ...own, ...change };
    return change.upTo === upTo && equalBytes(encoded(own), encoded(same));
  }

  /** As it is stored with the repository. */
  get stored(): Uint8Array {
    const { upTo, gone, instead } = this.state;
    return movesCodec.encode({ v: 1, upTo, gone, instead });
  }

  /** The newest head says where it lies. */
  storedAtOp(at: Locator): MetaOp {
    return putOp({ ...this.state, at });
  }

  /** What it says now is stored with the next head. */
  changeOp(change: Partial<Pick<MovesState, "upTo" | "gone" | "instead" | "left">>): MetaOp {
    const { at: _, revision, ...before } = this.state;
    return putOp({ ...before, ...change, revision: revision + 1 });
  }

  /** What some head led to, as it is stored. */
  static open(bytes: Uint8Array): Moves {
    const { upTo, gone, instead } = movesCodec.decode(bytes);
    return new Moves({ ...NOTHING, upTo, gone, instead });
  }

  /** With what another head of the same line of lives says: segments that are gone never come back. */
  withOp(other: Moves, at?: Locator): MetaOp {
    if (this.state.revision === 0 && at !== undefined) return putOp({ ...other.state, at, revision: 1 });
    return this.changeOp({
      upTo: Math.max(this.state.upTo, other.state.upTo),
      gone: joined(this.state.gone, other.state.gone),
      instead: joined(this.state.instead, other.state.instead),
    });
  }
}

function joined(a: SegmentRanges, b: SegmentRanges): SegmentRanges {
  const all = new SegmentRangeSet();
  all.addAll(a);
  all.addAll(b);
  return all.toRanges();
}

const encoded = (value: MovesState): Uint8Array => state.encode({ v: 1, ...value });

function putOp(value: MovesState): MetaOp {
  return { type: "put", key: KEY, value: encoded(value) };
}
