import { z } from "zod";
import { bytesUpTo, codec, count, incarnation, ownerId, peerId, textUpTo } from "./codec.ts";
import { RECORDS_MAX } from "./data.ts";
import {
  ADDRESS_CHARACTERS_MAX,
  ADDRESSES_MAX,
  acceptedSchema,
  certificateBytes,
  rosterPageRequestSchema,
  rosterPageSchema,
} from "./membership.ts";

const record = bytesUpTo(64 * 1024);
/** A head's sealed part is at most 64 KiB; the rest of it is small. */
const signedHead = bytesUpTo(128 * 1024);
const version = z.literal(1);

/** Peers in one `pool` answer. */
export const POOL_PEERS_MAX = 256;

const knownPeer = z
  .object({ peer: peerId, addresses: z.array(textUpTo(ADDRESS_CHARACTERS_MAX)).max(ADDRESSES_MAX) })
  .strict();

/**
 * What a recovery identity may ask over the `recover` protocol besides the reading half of `data` (get, have,
 * records): who is in the swarm, the slot that its key opens, whom to ask for the owner's data, and to be let in.
 */
const request = z.discriminatedUnion("t", [
  /** Answer: `welcome`. */
  z.object({ t: z.literal("hello"), v: version, page: rosterPageRequestSchema }).strict(),
  /** Answer: `pool`. The member asks the DHT on the guest's behalf. */
  z.object({ t: z.literal("pool"), v: version }).strict(),
  /** Every head that the member keeps of one life, older ones too. Answer: `heads`. */
  z.object({ t: z.literal("heads"), v: version, incarnation }).strict(),
  /** A certificate for the owner's new node, and the life that it begins. Answer: `accepted`. */
  z
    .object({ t: z.literal("submit"), v: version, certificate: certificateBytes, incarnation: record })
    .strict(),
]);
export type RecoverRequest = z.output<typeof request>;
export const recoverRequest = codec("recovery request", request);

const answer = z.discriminatedUnion("t", [
  z
    .object({
      t: z.literal("welcome"),
      v: version,
      owner: ownerId,
      nowMs: count,
      page: rosterPageSchema,
      /** The slot record of the asking identity; two where there is a fork. */
      slots: z.array(record).max(2),
      /** Lives that the identity has certified. */
      incarnations: z.array(record).max(256),
    })
    .strict(),
  z
    .object({
      t: z.literal("pool"),
      v: version,
      /** Those that announced the owner first, then other members; a hint. */
      peers: z.array(knownPeer).max(POOL_PEERS_MAX),
    })
    .strict(),
  /** Newest first, as many as one answer takes. */
  z.object({ t: z.literal("heads"), v: version, heads: z.array(signedHead).max(RECORDS_MAX) }).strict(),
  z.object({ t: z.literal("accepted"), v: version, accepted: acceptedSchema }).strict(),
  z.object({ t: z.literal("refused"), v: version, refusal: textUpTo(40), reason: textUpTo(500) }).strict(),
]);
export type RecoverAnswer = z.output<typeof answer>;
export const recoverAnswer = codec("recovery answer", answer);
