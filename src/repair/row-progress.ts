import { z } from "zod";
import { concatBytes, u32be, u64be } from "../base/bytes.ts";
import { idBytes, type PeerId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { GenerationAt } from "../placement/index.ts";
import type { MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec, peerId, segmentNumber } from "../wire/codec.ts";
import { SHARDS_MAX } from "../wire/descriptor.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { RepairedMap } from "./judge.ts";
import type { HeldSegment } from "./row-segments.ts";

const progressCodec = codec(
  "progress of a row",
  z
    .object({
      v: z.literal(1),
      targets: z
        .array(
          z
            .object({
              slot: z
                .int()
                .min(0)
                .max(SHARDS_MAX - 1),
              to: peerId,
              /** Of the last segment. */
              receipt: bytesUpTo(4096),
            })
            .strict(),
        )
        .min(1)
        .max(SHARDS_MAX),
      /** The last segment whose shards are all placed; those of the row below it are, too. */
      upTo: segmentNumber,
      envelope: bytesUpTo(64 * 1024),
    })
    .strict(),
);

/** Well below what a copy that no map names is kept for at least after its receipt. */
const VALID_MS = DAY_MS;

export interface RowTarget {
  readonly slot: number;
  readonly to: PeerId;
}

/** Where the moving of a row stands, for who is killed in the middle of it. Not synced: the last segments may be sent again. */
export class RowProgress {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  /** `undefined` where nothing was done yet, or for other targets, or so long ago that these may have dropped again what they took. */
  load(
    map: RepairedMap,
    at: GenerationAt,
    targets: readonly RowTarget[],
    nowMs: number,
  ): { upTo: number; envelope: Uint8Array; receipts: ReadonlyMap<number, Uint8Array> } | undefined {
    const stored = this.#store.get(keyOf(map, at));
    if (stored === undefined) return undefined;
    const known = progressCodec.decode(stored);
    const isSame =
      known.targets.length === targets.length &&
      targets.every(({ slot, to }) => known.targets.some((one) => one.slot === slot && one.to === to));
    // The time of a receipt is its epoch.
    const isYoung = known.targets.every(({ receipt }) => nowMs - decodeSigned(receipt).epoch < VALID_MS);
    if (!isSame || !isYoung) return undefined;
    const receipts = new Map(known.targets.map(({ slot, receipt }) => [slot, receipt]));
    return { upTo: known.upTo, envelope: known.envelope, receipts };
  }

  async save(
    map: RepairedMap,
    at: GenerationAt,
    targets: readonly RowTarget[],
    { segment, envelope }: HeldSegment,
    receipts: ReadonlyMap<number, Uint8Array>,
  ): Promise<void> {
    const value = progressCodec.encode({
      v: 1,
      targets: targets.map(({ slot, to }) => ({
        slot,
        to,
        receipt: receipts.get(slot) ?? new Uint8Array(0),
      })),
      upTo: segment.number,
      envelope,
    });
    await this.#store.write([{ type: "put", key: keyOf(map, at), value }], { sync: false });
  }

  async forget(map: RepairedMap, at: GenerationAt): Promise<void> {
    await this.#store.write([{ type: "delete", key: keyOf(map, at) }], { sync: false });
  }
}

function keyOf({ owner, incarnation }: RepairedMap, at: GenerationAt): Uint8Array {
  return concatBytes(
    idBytes(owner),
    idBytes(incarnation),
    u32be(at.classId),
    u32be(at.partition),
    u64be(at.fromSegment),
  );
}
