import { z } from "zod";
import { bytesOf, bytesUpTo, codec, count, OWN_SHAPE, textUpTo } from "./codec.ts";

/** What an audit trail says: the body of one entry, and a page of them. */

export const TRAIL_DETAILS_MAX = 12;
export const TRAIL_DETAIL_CHARACTERS_MAX = 160;
/** Twelve details of 160 characters of up to three bytes, and the envelope. */
export const TRAIL_ENTRY_BYTES_MAX = 8192;
/** Entries in a page, and pages that are kept: beyond, the oldest page goes. */
export const TRAIL_PAGE_ENTRIES = 128;

const body = z
  .object({
    v: z.literal(1),
    /** Hash of the entry before; zero in the first of an owner. */
    previous: bytesOf(32),
    timeMs: count,
    /** What was done; a reader shows words that it does not know. */
    what: textUpTo(40).regex(/^[a-z]+(?:-[a-z]+)*$/, "must be a lower-case word"),
    details: z.array(z.tuple([textUpTo(40), textUpTo(TRAIL_DETAIL_CHARACTERS_MAX)])).max(TRAIL_DETAILS_MAX),
  })
  .strict();
export type TrailBody = z.output<typeof body>;
/** Body of a `trail` statement, signed by the owner's node; its epoch is the entry's number, from 1. */
export const trailBody = codec("trail entry", body);

const page = z
  .object({ v: z.literal(1), entries: z.array(bytesUpTo(TRAIL_ENTRY_BYTES_MAX)).max(TRAIL_PAGE_ENTRIES) })
  .strict();
/** Entries in their envelopes, in the order of their numbers. */
export const trailPageCodec = codec("trail page", page, OWN_SHAPE);
