import { z } from "zod";
import { HOUR_MS } from "../base/units.ts";
import { codec, count, peerId } from "./codec.ts";

/** Members that one report names. */
export const SILENT_TARGETS_MAX = 256;
/** So long after it was made such a record is taken and kept; how long it counts is the reader's rule. */
export const SILENCE_KEPT_MS = 24 * HOUR_MS;

const schema = z
  .object({
    v: z.literal(1),
    /** When it was made, by its signer's clock. */
    timeMs: count,
    /** Each member once, and since when the signer has not heard it; empty: it hears everybody again. */
    silent: z.array(z.object({ peer: peerId, sinceMs: count }).strict()).max(SILENT_TARGETS_MAX),
  })
  .strict();
export type SilenceBody = z.output<typeof schema>;

/** Body of a `silence` record, signed by a node. */
export const silenceBody = codec("silence report", schema);
