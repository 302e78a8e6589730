import { z } from "zod";
import { KIB } from "../base/units.ts";
import { bytesUpTo, codec, count, incarnation, ownerId, segmentNumber } from "./codec.ts";
import { SHARDS_MAX } from "./descriptor.ts";

/** Shards told in one notice: about 10 KiB of message. */
export const LOST_SHARDS_MAX = 1000;
const NOTICE_BYTES_MAX = 32 * KIB;

export const lostRequestFields = {
  t: z.literal("lost"),
  v: z.literal(1),
  /** Signed by the sender: `lostBody`. */
  notice: bytesUpTo(NOTICE_BYTES_MAX),
};

export const notedAnswerFields = {
  t: z.literal("noted"),
  v: z.literal(1),
  /** How many of them the receiver has to do with. */
  noted: count,
};

/** Body of a `lost`, signed by the holder: these of its shards are gone or damaged, and it serves them no more. */
export const lostBody = codec(
  "notice of loss",
  z
    .object({
      v: z.literal(1),
      owner: ownerId,
      incarnation,
      timeMs: count,
      shards: z
        .array(
          z.tuple([
            segmentNumber,
            z
              .int()
              .min(0)
              .max(SHARDS_MAX - 1),
          ]),
        )
        .min(1)
        .max(LOST_SHARDS_MAX),
    })
    .strict(),
);
