import { z } from "zod";
import { equalBytes } from "../base/bytes.ts";
import { INCARNATION_BYTES, idBytes } from "../base/ids.ts";
import { type Catalog, stateKeyOf } from "../catalog/index.ts";
import { type Signed, signedHash } from "../crypto/signed.ts";
import type { MetaOp } from "../ports/index.ts";
import { bytesOf, codec, count } from "../wire/codec.ts";

/** More heads than a home signs while it meets nobody: after that they are known by their epochs alone. */
const HEADS_MAX = 1024;
const HASH_BYTES = 8;

export const signedHeads = codec(
  "signed heads",
  z
    .object({
      v: z.literal(1),
      incarnation: bytesOf(INCARNATION_BYTES),
      /** Epoch and the first bytes of the hash, rising. */
      heads: z.array(z.tuple([count, bytesOf(HASH_BYTES)])).max(HEADS_MAX),
    })
    .strict(),
);

const SIGNED_HEADS_KEY = stateKeyOf("heads-signed");

/** Written with each head: which ones this home has signed in its present life, the newest ones. */
export function signedHeadsOp(catalog: Catalog, head: Signed): MetaOp {
  const heads = [...knownOf(catalog), ownOf(head)].slice(-HEADS_MAX);
  const incarnation = idBytes(head.incarnation);
  return { type: "put", key: SIGNED_HEADS_KEY, value: signedHeads.encode({ v: 1, incarnation, heads }) };
}

/**
 * Whether a head of the present life has an epoch that this home has used for another one. A home that was put back to an
 * earlier time, and saves before it meets anybody, uses epochs anew: it must not take itself for the newest by that.
 */
export function isOfAnother(catalog: Catalog, record: Signed): boolean {
  const own = knownOf(catalog).find(([epoch]) => epoch === record.epoch);
  return own !== undefined && !equalBytes(own[1], hashOf(record));
}

type OwnHead = [epoch: number, hash: Uint8Array];

function knownOf(catalog: Catalog): OwnHead[] {
  const stored = catalog.store.get(SIGNED_HEADS_KEY);
  const known = stored === undefined ? undefined : signedHeads.decode(stored);
  if (known !== undefined && equalBytes(known.incarnation, idBytes(catalog.incarnation))) return known.heads;
  // Of a home of an earlier version the newest one is known.
  return catalog.head?.incarnation === catalog.incarnation ? [ownOf(catalog.head)] : [];
}

function ownOf(head: Signed): OwnHead {
  return [head.epoch, hashOf(head)];
}

function hashOf(head: Signed): Uint8Array {
  return signedHash(head).slice(0, HASH_BYTES);
}
