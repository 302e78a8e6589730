import { z } from "zod";
import { codec, count, incarnation, OWN_SHAPE, ownerId, segmentNumber } from "../wire/codec.ts";
import { INCARNATIONS_MAX, locator, trailStanding } from "../wire/head.ts";
import { segmentRanges } from "./records.ts";

const state = z
  .object({
    v: z.literal(1),
    owner: ownerId,
    /** Oldest first; the last one is this home's, and the only one it writes under. */
    incarnations: z.array(incarnation).min(1).max(INCARNATIONS_MAX),
    /** Numbers below are taken or reserved; synced before the first of them is used. */
    segmentsReserved: segmentNumber,
    headEpoch: count,
    snapshotSequence: count,
    mapEpoch: count,
    /** The class that `auto` uses, by its position in the current map, and since when. */
    autoClass: z.object({ id: count, sinceMs: count, betterSinceMs: count.optional() }).strict().optional(),
    /** Index runs, and the segments that reading each takes. */
    runs: z.array(z.object({ locator, segments: segmentRanges }).strict()),
    snapshotPages: z.array(locator),
    /** The audit trail as the newest head has it; absent as long as none has. */
    trail: trailStanding.exactOptional(),
    /** Recovered to look and restore only: nothing is signed from here. */
    readOnly: z.boolean(),
  })
  .strict();

/** What an owner's home must not forget; small, written whole. */
export type RepositoryState = Omit<z.output<typeof state>, "v">;

const stateCodec = codec("repository state", state, OWN_SHAPE);

export function encodeState(value: RepositoryState): Uint8Array {
  return stateCodec.encode({ v: 1, ...value });
}

export function decodeState(bytes: Uint8Array): RepositoryState {
  const { v: _, ...value } = stateCodec.decode(bytes);
  return value;
}
