import { z } from "zod";

/** How the recovery key is replaced: the command line has the words, the daemon the swarm. */

const count = z.int().nonnegative();
const hex32 = z.string().regex(/^[0-9a-f]{64}$/);

export const rotationBasisResult = z.object({
  swarmId: hex32,
  ownerId: hex32,
  peerId: z.string(),
  certificate: hex32,
  generation: count,
  number: count,
  /** Recovery id that ends. */
  retires: hex32,
  incarnation: z.string(),
});
export type RotationBasisResult = z.infer<typeof rotationBasisResult>;

export const rotateRequest = z
  .object({
    /** The roster entry, signed by all who have to; base64url. */
    entry: z.base64url().max(16_384),
  })
  .strict();
export type RotateRequest = z.infer<typeof rotateRequest>;

export const rotateResult = z.object({
  /** Recovery ids: that of the new words, and that which opens nothing any more. */
  recoveryId: hex32,
  oldRecoveryId: hex32,
  since: z.string(),
  /** Other members, and how many of them are connected and so hear of it now. */
  members: count,
  connected: count,
});
export type RotateResult = z.infer<typeof rotateResult>;
