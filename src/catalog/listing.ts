import { z } from "zod";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { codec, OWN_SHAPE } from "../wire/codec.ts";
import { stateKey } from "./keys.ts";
import { type SegmentRanges, segmentRanges } from "./records.ts";

const LISTING_KEY = stateKey("listing");

/** What leads from the newest head to list and index, where that head was made without a snapshot. */
export const listingCodec = codec(
  "listing of a head",
  z.object({ v: z.literal(1), segments: segmentRanges }).strict(),
  OWN_SHAPE,
);

export function listingOp(segments: SegmentRanges | undefined): MetaOp {
  if (segments === undefined) return { type: "delete", key: LISTING_KEY };
  return { type: "put", key: LISTING_KEY, value: listingCodec.encode({ v: 1, segments }) };
}

/** Empty where the newest snapshot needs all of it. */
export function listingOf(store: Pick<MetaStore, "get">): SegmentRanges {
  const value = store.get(LISTING_KEY);
  return value === undefined ? [] : listingCodec.decode(value).segments;
}
