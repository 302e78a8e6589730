import { z } from "zod";
import { DAY_MS } from "../base/units.ts";
import { bytesOf, codec, count, ownerId } from "./codec.ts";

/** So long after its last event such a record is kept, spread and shown. */
export const RECOVERY_USE_KEPT_MS = 30 * DAY_MS;

const schema = z
  .object({
    v: z.literal(1),
    owner: ownerId,
    /** Public key of the recovery identity that was here. */
    recovery: bytesOf(32),
    /** How often it asked for the slot, began to read shards or records, handed in the key of a new node. */
    hellos: count,
    reads: count,
    submits: count,
    firstMs: count,
    lastMs: count,
  })
  .strict();
export type RecoveryUse = z.output<typeof schema>;

/** Body of a `recovery-use` record, signed by the member that was asked. */
export const recoveryUseBody = codec("recovery use", schema);
