import { z } from "zod";
import type { Signed, SignedType } from "../crypto/signed.ts";
import { bytesOf, bytesUpTo, codec, count, incarnation, swarmId } from "./codec.ts";

const SIGNED_TYPES = [
  "genesis",
  "delegation",
  "certificate",
  "removal",
  "endorsement",
  "withdrawal",
  "administrators",
  "rotation",
  "status",
  "slot",
  "incarnation",
  "recovery-use",
  "silence",
  "proposal",
  "approval",
  "descriptor",
  "map",
  "head",
  "live-set",
  "release",
  "receipt",
  "head-receipt",
  "audit",
  "lost",
  "conviction",
  "doubt",
  "clearance",
  "repair",
  "repair-claim",
  "promise",
  "trail",
  "lock",
  "locked",
] as const satisfies readonly SignedType[];

/** No signed body of ours comes near this; it bounds what one record can make a reader hold. */
export const SIGNED_BODY_BYTES_MAX = 4 * 1024 * 1024;

/** Envelope version 1. The layout never changes: repair and audit of later versions read it. */
export const signedSchema = z
  .object({
    v: z.literal(1),
    type: z.enum(SIGNED_TYPES),
    swarm: swarmId,
    signer: bytesOf(32),
    incarnation,
    epoch: count,
    body: bytesUpTo(SIGNED_BODY_BYTES_MAX),
    signature: bytesOf(64),
  })
  .strict();

const envelope = codec("signed record", signedSchema);

export function encodeSigned(signed: Signed): Uint8Array {
  return envelope.encode({ v: 1, ...signed });
}

/** Checks the shape only; `checkSigned` checks who said it. */
export function decodeSigned(bytes: Uint8Array): Signed {
  const { v: _, ...signed } = envelope.decode(bytes);
  return signed;
}
