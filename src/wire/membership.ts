import { z } from "zod";
import { bytesOf, bytesUpTo, codec, count, ownerId, peerId, swarmId, textUpTo } from "./codec.ts";
import { TICK_BYTES, TICKS_MAX } from "./ticks.ts";

/**
 * Bodies of what the roster is made of, the envelope that carries them, and the messages by which a newcomer
 * gets in. Shapes and sizes only: src/membership decides what is believed.
 */

export const SITE_CHARACTERS_MAX = 40;
export const ADMINISTRATORS_MAX = 16;
export const GENERATION_MAX = 2 ** 32;
export const TOKEN_USES_MAX = 256;
export const ADDRESSES_MAX = 8;
export const ADDRESS_CHARACTERS_MAX = 200;
/** Members out of a node's reach that its status names. */
export const UNMET_MAX = 32;

/** Lower-case letters and digits in groups joined by single hyphens. */
export const SITE_PATTERN = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

const siteName = textUpTo(SITE_CHARACTERS_MAX).regex(SITE_PATTERN, "must be a lower-case slug");
// Names are printed on terminals: control and format characters could rewrite what an operator sees.
const label = (charactersMax: number) =>
  textUpTo(charactersMax)
    .min(1)
    .regex(/^[^\p{C}]*$/u, "must be printable");
const publicKey = bytesOf(32);
const hash = bytesOf(32);

const genesisSchema = z
  .object({
    v: z.literal(1),
    administrators: z.array(publicKey).min(1).max(ADMINISTRATORS_MAX),
    threshold: z.int().min(1).max(ADMINISTRATORS_MAX),
    createdMs: count,
    nonce: bytesOf(16),
  })
  .strict();
export type GenesisBody = z.output<typeof genesisSchema>;
export const genesisCodec = codec("genesis", genesisSchema);

const delegationSchema = z
  .object({
    v: z.literal(1),
    /** Public key of the guest that may hand in one certificate. */
    guest: publicKey,
    site: siteName,
    nodeNumber: bytesOf(32),
    issuedMs: count,
    expiresMs: count,
    /** Names the token without telling its seed: what the uses of one token have in common. */
    token: bytesOf(16),
    useIndex: z
      .int()
      .min(0)
      .max(TOKEN_USES_MAX - 1),
    quotaBytes: count.exactOptional(),
  })
  .strict();
export type DelegationBody = z.output<typeof delegationSchema>;
export const delegationCodec = codec("delegation", delegationSchema);

const memberFields = {
  peer: peerId,
  owner: ownerId,
  /** Public key of the owner's recovery identity. */
  recovery: publicKey,
  site: siteName,
  name: label(64),
  host: label(255),
  capacityBytes: count,
  quotaBytes: count.exactOptional(),
  nodeNumber: bytesOf(32),
  generation: z.int().min(0).max(GENERATION_MAX),
  /** False: an owner only, no shards are placed on it. */
  holder: z.boolean(),
  issuedMs: count,
};

const certificateSchema = z.discriminatedUnion("by", [
  z.object({ v: z.literal(1), by: z.literal("administrators"), ...memberFields }).strict(),
  z.object({ v: z.literal(1), by: z.literal("delegation"), delegation: hash, ...memberFields }).strict(),
  z
    .object({
      v: z.literal(1),
      by: z.literal("recovery"),
      /** Hash of the rotation that brought this recovery key; absent where another certificate names the key. */
      rotation: hash.exactOptional(),
      ...memberFields,
    })
    .strict(),
]);
export type CertificateBody = z.output<typeof certificateSchema>;
export const certificateCodec = codec("certificate", certificateSchema);

const removalSchema = z
  .object({
    v: z.literal(1),
    owner: ownerId,
    peer: peerId,
    /** Certificates of the owner up to this generation end. */
    generation: z.int().min(0).max(GENERATION_MAX),
    /** True: its recovery identity may still read, but not hand in a new node. */
    barsOwner: z.boolean(),
    issuedMs: count,
    effectiveMs: count,
    reason: textUpTo(200),
  })
  .strict();
export type RemovalBody = z.output<typeof removalSchema>;
export const removalCodec = codec("removal", removalSchema);

export const ENDORSED_MAX = 110;
export const KEPT_LISTS_MAX = 64;
export const SET_NUMBER_MAX = 2 ** 32;

const endorsementSchema = z
  .object({
    v: z.literal(1),
    /** Who signs, alone. In the body, so that one endorsement never goes about under two signatures. */
    administrator: publicKey,
    /** Number of the administrators' set in force when it was signed; 0 is the genesis. */
    set: z.int().min(0).max(SET_NUMBER_MAX),
    /** Hashes of the entries that this administrator signs as well. */
    entries: z.array(hash).min(1).max(ENDORSED_MAX),
    issuedMs: count,
  })
  .strict();
export type EndorsementBody = z.output<typeof endorsementSchema>;
export const endorsementCodec = codec("endorsement", endorsementSchema);

const administratorsSchema = z
  .object({
    v: z.literal(1),
    /** One more than that of the set before; the genesis' is 0. */
    number: z.int().min(1).max(SET_NUMBER_MAX),
    /** The longest-serving first. */
    administrators: z.array(publicKey).min(1).max(ADMINISTRATORS_MAX),
    threshold: z.int().min(1).max(ADMINISTRATORS_MAX),
    /** Hash of the entry with the set before. */
    previous: hash,
    /** Hashes of endorsements whose entries stand from now on, whoever is an administrator later. */
    keeps: z.array(hash).max(KEPT_LISTS_MAX),
    issuedMs: count,
  })
  .strict();
export type AdministratorsBody = z.output<typeof administratorsSchema>;
export const administratorsCodec = codec("administrators", administratorsSchema);

const withdrawalSchema = z
  .object({
    v: z.literal(1),
    /** Hash of the removal or certificate that counts no more. */
    entry: hash,
    issuedMs: count,
  })
  .strict();
export type WithdrawalBody = z.output<typeof withdrawalSchema>;
export const withdrawalCodec = codec("withdrawal", withdrawalSchema);

/** As often an owner may replace its recovery key. */
export const ROTATIONS_MAX = 64;

const rotationSchema = z
  .object({
    v: z.literal(1),
    owner: ownerId,
    /** The owner's node, as this certificate of it says that not its recovery identity signed. */
    peer: peerId,
    certificate: hash,
    generation: z.int().min(0).max(GENERATION_MAX),
    /** One more than that of the rotation that brought the key that is replaced; 1 where a certificate names that. */
    number: z.int().min(1).max(ROTATIONS_MAX),
    /** Public keys of the recovery identities: the one that ends, the one that takes its place. */
    retires: publicKey,
    recovery: publicKey,
    /** By the new one: its slot, and the life that goes on. With them the entry is all that a recovery needs. */
    slot: bytesUpTo(1024),
    life: bytesUpTo(512),
    issuedMs: count,
  })
  .strict();
export type RotationBody = z.output<typeof rotationSchema>;
export const rotationCodec = codec("rotation", rotationSchema);

/** The largest entry is a genesis of 16 administrators or a certificate with all its texts at their bounds. */
export const ENTRY_BODY_BYTES_MAX = 4096;
export const ENTRY_BYTES_MAX = 8192;

const ENTRY_TYPES = [
  "genesis",
  "delegation",
  "certificate",
  "removal",
  "endorsement",
  "withdrawal",
  "administrators",
  "rotation",
] as const;
export type EntryType = (typeof ENTRY_TYPES)[number];

const rosterEntrySchema = z
  .object({
    v: z.literal(1),
    type: z.enum(ENTRY_TYPES),
    swarm: swarmId,
    epoch: count,
    body: bytesUpTo(ENTRY_BODY_BYTES_MAX),
    signatures: z
      .array(z.object({ signer: publicKey, signature: bytesOf(64) }).strict())
      .min(1)
      .max(ADMINISTRATORS_MAX),
  })
  .strict();
export type RosterEntryEnvelope = z.output<typeof rosterEntrySchema>;
export const rosterEntryCodec = codec("roster entry", rosterEntrySchema);

const nodeStatusSchema = z
  .object({
    v: z.literal(1),
    /** Multiaddrs without the peer id, best first. */
    addresses: z.array(textUpTo(ADDRESS_CHARACTERS_MAX)).max(ADDRESSES_MAX),
    capacityBytes: count,
    usedBytes: count,
    freeBytes: count,
    formatVersions: z.object({ reads: z.array(count).max(16), writes: count }).strict(),
    programVersion: textUpTo(40),
    timeMs: count,
    /** Its beats from `timeMs` on: the value of the n-th hashes, n times, to the anchor. */
    ticks: z
      .object({
        anchor: bytesOf(TICK_BYTES),
        everyMs: count.min(1),
        count: z.int().min(1).max(TICKS_MAX),
      })
      .strict()
      .exactOptional(),
    /** Members that it cannot reach although others hear them. */
    unmet: z.array(peerId).max(UNMET_MAX).exactOptional(),
    /** It is leaving: its shards are being moved, and it gets no new ones. */
    draining: z.literal(true).exactOptional(),
    /** End of an outage that it announces. */
    outageUntilMs: count.exactOptional(),
    /** With which key this node would sign as an administrator, whether it is one or not. */
    administrator: publicKey.exactOptional(),
  })
  // Not strict: a hint, which later versions may add to, and which every node has to take from every other.
  .strip();
export type NodeStatus = z.output<typeof nodeStatusSchema>;
export const nodeStatusCodec = codec("node status", nodeStatusSchema);

const tokenSchema = z
  .object({
    swarm: swarmId,
    seed: bytesOf(32),
    site: siteName,
    expiresMs: count,
    uses: z.int().min(1).max(TOKEN_USES_MAX),
    addresses: z.array(z.object({ peer: peerId, address: textUpTo(ADDRESS_CHARACTERS_MAX) }).strict()).max(4),
  })
  .strict();
export type TokenContent = z.output<typeof tokenSchema>;
export const tokenCodec = codec("join token", tokenSchema);

/** Sort key of the last entry of a page: rank (1 byte) and 32 bytes that follow from the entry. */
export const PAGE_CURSOR_BYTES = 33;
/** What one page carries at most: 256 KiB of entries, and no more of them than this. */
export const PAGE_ENTRIES_MAX = 1024;
export const PAGE_BYTES_MAX = 256 * 1024;

/** Entries in the order in which they can be applied; `next` where there are more. */
export const rosterPageSchema = z
  .object({
    genesis: bytesUpTo(ENTRY_BYTES_MAX),
    entries: z.array(bytesUpTo(ENTRY_BYTES_MAX)).max(PAGE_ENTRIES_MAX),
    next: bytesOf(PAGE_CURSOR_BYTES).exactOptional(),
  })
  .strict();
export type RosterPage = z.output<typeof rosterPageSchema>;

/** Part of `hello` of the protocols join and recover. */
export const rosterPageRequestSchema = z
  .object({ after: bytesOf(PAGE_CURSOR_BYTES).exactOptional() })
  .strict();
export type RosterPageRequest = z.output<typeof rosterPageRequestSchema>;

/** Answer to a handed-in certificate, of the protocols join and recover: it is on the answering node's disk. */
export const acceptedSchema = z
  .object({ certificate: bytesUpTo(ENTRY_BYTES_MAX), page: rosterPageSchema })
  .strict();
export type Accepted = z.output<typeof acceptedSchema>;

export const certificateBytes = bytesUpTo(ENTRY_BYTES_MAX);

/** A fault as an answer: its code, a sentence, and the moment of expiry where the code is TOKEN_EXPIRED. */
export const refusalSchema = z
  .object({
    v: z.literal(1),
    kind: z.literal("refused"),
    refusal: textUpTo(40),
    reason: textUpTo(500),
    expiredMs: count.exactOptional(),
  })
  .strict();
export type Refusal = z.output<typeof refusalSchema>;

const joinRequestSchema = z.discriminatedUnion("kind", [
  z.object({ v: z.literal(1), kind: z.literal("hello"), page: rosterPageRequestSchema }).strict(),
  z.object({ v: z.literal(1), kind: z.literal("submit"), certificate: certificateBytes }).strict(),
]);
export type JoinRequest = z.output<typeof joinRequestSchema>;
export const joinRequestCodec = codec("join request", joinRequestSchema);

const joinAnswerSchema = z.discriminatedUnion("kind", [
  z
    .object({
      v: z.literal(1),
      kind: z.literal("welcome"),
      /** The answering node's clock: the newcomer's own may be years off. */
      nowMs: count,
      /** Uses of the guest's token that nobody has taken yet. */
      freeUses: z.array(z.int().min(0)).max(TOKEN_USES_MAX),
      page: rosterPageSchema,
    })
    .strict(),
  z.object({ v: z.literal(1), kind: z.literal("accepted"), accepted: acceptedSchema }).strict(),
  refusalSchema,
]);
export type JoinAnswer = z.output<typeof joinAnswerSchema>;
export const joinAnswerCodec = codec("join answer", joinAnswerSchema);
