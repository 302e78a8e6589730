import { z } from "zod";
import { MIB } from "../base/units.ts";
import {
  bytesOf,
  bytesUpTo,
  codec,
  count,
  incarnation,
  MESSAGE_SHAPE,
  ownerId,
  segmentNumber,
} from "./codec.ts";

/** A list in its worst form, every other segment, has half a million runs: eight million segments would take 16. */
export const LIVE_LIST_BYTES_MAX = 4 * MIB;
/** Lives that one live set speaks about: a home that is recovered every week for a year. */
export const LIVES_MAX = 64;
/** Runs of all lives together: a terabyte is 65,536 segments. Whoever has more lists what lies between two as wanted. */
export const LIVE_RUNS_MAX = 2 ** 16;
/** An attacker's list takes 32 MiB to decode at most. */
const LIST_SHAPE = { ...MESSAGE_SHAPE, itemsMax: 2 ** 18 };
const record = bytesUpTo(4096);

/**
 * Body of a live set, signed by the owner; the life that signs it and the epoch are in the envelope. The list itself goes
 * beside it, whole: it counts only with exactly these bytes.
 */
export const liveSetBody = codec(
  "live set",
  z
    .object({
      v: z.literal(1),
      timeMs: count,
      /** Of the list, and their SHA-256. */
      bytes: z.int().min(1).max(LIVE_LIST_BYTES_MAX),
      hash: bytesOf(32),
    })
    .strict(),
);

/**
 * What an owner still wants of each of these lives. All numbers below `below` are covered: those in `runs` are live, the others
 * are not wanted any more. `runs`: [gap, length, gap, length, ...], each gap from the end of the run before (the first from 0);
 * lengths and all gaps but the first are at least 1, so that one set has one form.
 */
export const liveList = codec(
  "list of a live set",
  z
    .object({
      v: z.literal(1),
      lives: z
        .array(
          z
            .object({
              incarnation,
              below: segmentNumber,
              runs: z.array(segmentNumber).max(2 * LIVE_RUNS_MAX),
            })
            .strict(),
        )
        .min(1)
        .max(LIVES_MAX),
    })
    .strict(),
  LIST_SHAPE,
);
export type LiveList = ReturnType<(typeof liveList)["decode"]>;

/** The body of the message is the list. */
export const liveSetRequestFields = { t: z.literal("live-set"), v: z.literal(1), record };

/** The newest live set of one life of an owner, as far as it is kept. */
export const liveGetRequestFields = {
  t: z.literal("live-get"),
  v: z.literal(1),
  owner: ownerId,
  incarnation,
};

export const liveKeptAnswerFields = { t: z.literal("live-kept"), v: z.literal(1), hash: bytesOf(32) };

/** Without a record where none is kept; else the body of the message is its list. */
export const liveAnswerFields = { t: z.literal("live"), v: z.literal(1), record: record.exactOptional() };

/** Body of a `release`, signed by an administrator: what live sets of this owner remove may go beyond the brake for a while. */
export const releaseBody = codec(
  "release",
  z.object({ v: z.literal(1), owner: ownerId, timeMs: count }).strict(),
);
/** So long after its time a release holds. */
export const RELEASE_KEPT_MS = 7 * 24 * 60 * 60 * 1000;
/** One in so long of each owner. */
export const RELEASE_EPOCH_MS = 60 * 1000;
