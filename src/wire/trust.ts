import { z } from "zod";
import { DAY_MS, HOUR_MS, KIB, MINUTE_MS } from "../base/units.ts";
import { bytesUpTo, codec, count, peerId, textUpTo } from "./codec.ts";

/** So many different shards denied in one statement convict; one wrong answer does by itself. */
export const CONVICTING_DENIALS = 3;
/** Of the shards that a statement is about, so many have to be denied: a few are a bad spot on a disk, whoever picks them. */
export const CONVICTING_SHARE = 0.25;
export const TRUST_REASON_CHARACTERS_MAX = 200;

/** Epochs are times in these units: nobody says something new of the same member more often. */
export const CONVICTION_EPOCH_MS = HOUR_MS;
export const DOUBT_EPOCH_MS = MINUTE_MS;
export const CLEARANCE_EPOCH_MS = MINUTE_MS;

/** Auditors come round weekly; a doubt that nobody repeats fades. */
export const DOUBT_KEPT_MS = 7 * DAY_MS;
/** Whoever was caught and has done nothing wrong for so long begins anew. */
export const CONVICTION_KEPT_MS = 365 * DAY_MS;

/**
 * Body of a `conviction`, signed by the member that tells it. It adds nothing to the evidence, which is the target's own
 * signed words.
 */
export const convictionBody = codec(
  "conviction record",
  z
    .object({
      v: z.literal(1),
      target: peerId,
      timeMs: count,
      /** Each as `convictionCodec` of audits has it. */
      evidence: z
        .array(bytesUpTo(128 * KIB))
        .min(1)
        .max(CONVICTING_DENIALS),
    })
    .strict(),
);

/** Body of a `doubt`, signed by an auditor: its word, and nothing else. */
export const doubtBody = codec(
  "doubt",
  z
    .object({
      v: z.literal(1),
      target: peerId,
      timeMs: count,
      /** False: the auditor takes back what it said before. */
      stands: z.boolean(),
      reason: textUpTo(TRUST_REASON_CHARACTERS_MAX),
    })
    .strict(),
);

/** Body of a `clearance`, signed by an administrator: what was said of the target until then is answered. */
export const clearanceBody = codec(
  "clearance",
  z
    .object({
      v: z.literal(1),
      target: peerId,
      timeMs: count,
      reason: textUpTo(TRUST_REASON_CHARACTERS_MAX),
    })
    .strict(),
);
