import { z } from "zod";
import { Fault } from "../base/fault.ts";
import type { SegmentId, SwarmId } from "../base/ids.ts";
import { ownerIdOf } from "../base/ids.ts";
import { checkSigned, type Signed } from "../crypto/signed.ts";
import { bytesOf, type Codec, codec, count } from "./codec.ts";
import { decodeSigned } from "./signed.ts";

/** No more shards to a segment than this: the bound of the format, not of any profile. */
export const SHARDS_MAX = 64;
export const SEGMENT_BYTES_MAX = 16 * 1024 * 1024;
export const LEAF_BYTES_MAX = 1024 * 1024;
/** In its envelope, with 64 roots: less than 3 KiB. */
export const DESCRIPTOR_BYTES_MAX = 8 * 1024;

/** The fields that repair and audit need. They are in every version, with the same meaning. */
const fixedFields = {
  /** 1: Reed-Solomon over GF(2^8), Vandermonde made systematic. */
  codec: z.literal(1),
  k: z.int().min(1).max(SHARDS_MAX),
  m: z.int().min(0).max(SHARDS_MAX),
  /** The owner's number of the class (k, m, site cap) that the segment belongs to. */
  class: z.int().min(0).max(65_535),
  segmentBytes: z.int().min(1).max(SEGMENT_BYTES_MAX),
  shardBytes: z.int().min(1).max(SEGMENT_BYTES_MAX),
  leafBytes: z.int().min(64).max(LEAF_BYTES_MAX),
  roots: z.array(bytesOf(32)).min(1).max(SHARDS_MAX),
  /** Holders refuse to drop the shard for so long, counted in their own running time. */
  lockMs: count,
  createdMs: count,
};

const fixedSchema = z.object(fixedFields);

const descriptorBody = z
  .union([
    z.object({ v: z.literal(1), ...fixedFields }).strict(),
    // Of a later version whatever else it says is its owner's business: a holder keeps, proves and repairs it all the same.
    z.object({ v: z.int().min(2).max(65_535), ...fixedFields }).strip(),
  ])
  .refine((d) => d.roots.length === d.k + d.m, "one root for each of the k + m shards")
  .refine(
    (d) => d.shardBytes === Math.ceil(d.segmentBytes / d.k),
    "shardBytes is segmentBytes / k, rounded up",
  );

/**
 * What travels with every shard: all that repair and audit need to know, signed by the owner. In the envelope
 * the signer is the owner, the incarnation and the epoch (= segment number) name the segment.
 */
export type DescriptorBody = { readonly v: number } & z.output<typeof fixedSchema>;

export const descriptorCodec: Codec<DescriptorBody> = codec("descriptor", descriptorBody);

export interface Descriptor extends DescriptorBody {
  readonly segment: SegmentId;
}

export function openDescriptor(signed: Signed, swarm: SwarmId): Descriptor {
  checkSigned(signed, { type: "descriptor", swarm });
  const body = descriptorCodec.decode(signed.body);
  return {
    ...body,
    segment: { owner: ownerIdOf(signed.signer), incarnation: signed.incarnation, number: signed.epoch },
  };
}

/** From bytes that a peer sent or a disk kept; throws `FORMAT_INVALID` or `SIGNATURE_INVALID`. */
export function readDescriptor(bytes: Uint8Array, swarm: SwarmId): Descriptor {
  return openDescriptor(decodeSigned(bytes), swarm);
}

export function requireShardIndex(descriptor: Descriptor, index: number): void {
  if (index < 0 || index >= descriptor.roots.length) {
    throw new Fault({
      code: "FORMAT_INVALID",
      what: "shard index",
      reason: `${index} of ${descriptor.roots.length}`,
    });
  }
}
