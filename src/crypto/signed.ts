import { concatBytes, equalBytes, u64be, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { INCARNATION_BYTES, type Incarnation, idBytes, incarnationOf, type SwarmId } from "../base/ids.ts";
import { sha256 } from "./hash.ts";
import { type Signer, verifySignature } from "./sign.ts";

/**
 * Everything that anybody signs, one name per meaning: a signature over one type can never be shown as
 * another. The name goes into the signed bytes as `cairn/1/<type>`.
 */
export type SignedType =
  | "genesis"
  | "delegation"
  | "certificate"
  | "removal"
  | "endorsement"
  | "withdrawal"
  | "administrators"
  | "rotation"
  | "status"
  | "slot"
  | "incarnation"
  | "recovery-use"
  | "silence"
  | "proposal"
  | "approval"
  | "descriptor"
  | "map"
  | "head"
  | "live-set"
  | "release"
  | "receipt"
  | "head-receipt"
  | "audit"
  | "lost"
  | "conviction"
  | "doubt"
  | "clearance"
  | "repair"
  | "repair-claim"
  | "promise"
  | "trail"
  | "lock"
  | "locked";

/** What one key has said: the body's meaning follows from the type. */
export interface Signed {
  readonly type: SignedType;
  readonly swarm: SwarmId;
  /** Ed25519 public key. */
  readonly signer: Uint8Array;
  /** All zero where the signer has no lives: administrators, nodes, recovery identities. */
  readonly incarnation: Incarnation;
  /** Newer statements of the same signer, type and incarnation have larger epochs. */
  readonly epoch: number;
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

export const NO_INCARNATION: Incarnation = incarnationOf(new Uint8Array(INCARNATION_BYTES));

export type Statement = Omit<Signed, "signature" | "signer">;

/**
 * The bytes under a signature: `cairn/1/<type>`, a zero byte, swarm id (32), signer (32), incarnation (16),
 * epoch (u64, big-endian), body. Fixed widths before the body, so that no two statements give the same bytes.
 */
export function signedBytes(statement: Statement, signer: Uint8Array): Uint8Array {
  return concatBytes(
    utf8(`cairn/1/${statement.type}\0`),
    idBytes(statement.swarm),
    signer,
    idBytes(statement.incarnation),
    u64be(statement.epoch),
    statement.body,
  );
}

export function signStatement(statement: Statement, signer: Signer): Signed {
  const signature = signer.sign(signedBytes(statement, signer.publicKey));
  return { ...statement, signer: signer.publicKey, signature };
}

/** Throws `SIGNATURE_INVALID` unless type, swarm (and signer, where given) are as expected and the signature holds. */
export function checkSigned(
  signed: Signed,
  expected: { type: SignedType; swarm: SwarmId; signer?: Uint8Array },
): void {
  const fail = (reason: string): never => {
    throw new Fault({ code: "SIGNATURE_INVALID", what: expected.type, reason });
  };
  if (signed.type !== expected.type) fail(`it is a ${signed.type}`);
  if (signed.swarm !== expected.swarm) fail("it is of another swarm");
  if (expected.signer !== undefined && !equalBytes(expected.signer, signed.signer))
    fail("another key signed it");
  if (!verifySignature(signed.signer, signedBytes(signed, signed.signer), signed.signature)) {
    fail("the signature does not match");
  }
}

/** Identity of a statement with its signature: SHA-256 of both. Ed25519 signatures are deterministic. */
export function signedHash(signed: Signed): Uint8Array {
  return sha256(signedBytes(signed, signed.signer), signed.signature);
}
