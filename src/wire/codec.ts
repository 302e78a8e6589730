import { decode as cborDecode, encode as cborEncode } from "cborg";
import { z } from "zod";
import { Fault, messageOf } from "../base/fault.ts";
import {
  HASH_BYTES,
  INCARNATION_BYTES,
  idBytes,
  incarnationOf,
  ownerIdOf,
  PUBLIC_KEY_BYTES,
  peerIdOf,
  publicKeyOfPeer,
  SEGMENT_NUMBER_MAX,
  snapshotIdOf,
  swarmIdOf,
} from "../base/ids.ts";
import { type ShapeLimits, shapeFault } from "./cbor-shape.ts";

/**
 * A schema for one thing that is persisted or sent: decoded CBOR in, checked value out, and back. Encoding is
 * deterministic CBOR (RFC 8949 section 4.2.1 with length-first key order, no floats for whole numbers), so that the same
 * value always gives the same bytes.
 */
export interface Codec<T> {
  readonly name: string;
  /** Of decoded CBOR; tests make values from it. */
  readonly schema: z.ZodType;
  encode(value: T): Uint8Array;
  /** Throws `FORMAT_INVALID`. */
  decode(bytes: Uint8Array): T;
}

/**
 * The largest messages that anybody sends have 30,000 items (`have` of 10,000 shards), the deepest eight levels. The
 * worst that is let through takes a few MiB besides its own bytes (test/fuzz/memory.test.ts).
 */
export const MESSAGE_SHAPE: ShapeLimits = { itemsMax: 65_536, depthMax: 16 };
/** For what grows with a repository: byte limits alone, since nobody but its owner can have written it. */
export const OWN_SHAPE: ShapeLimits = { itemsMax: 2 ** 26, depthMax: 16 };
/** Reasons are logged and shown, and what they quote is the sender's text. */
const REASON_CHARACTERS_MAX = 200;

export function codec<Schema extends z.ZodType>(
  name: string,
  schema: Schema,
  shape: ShapeLimits = MESSAGE_SHAPE,
): Codec<z.output<Schema>> {
  const invalid = (reason: string): Fault =>
    new Fault({ code: "FORMAT_INVALID", what: name, reason: reason.slice(0, REASON_CHARACTERS_MAX) });
  return {
    name,
    schema,
    encode: (value) => cborEncode(z.encode(schema, value)),
    decode: (bytes) => {
      const misshapen = shapeFault(bytes, shape);
      if (misshapen !== undefined) throw invalid(misshapen);
      let raw: unknown;
      try {
        raw = cborDecode(bytes, DECODE_OPTIONS);
      } catch (error) {
        throw invalid(messageOf(error));
      }
      const result = z.safeDecode(schema, raw as z.input<Schema>);
      if (result.success) return result.data;
      const issue = result.error.issues[0];
      throw invalid(issue === undefined ? "unknown" : `${issue.path.join(".")}: ${issue.message}`);
    },
  };
}

const DECODE_OPTIONS = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: true,
  rejectDuplicateMapKeys: true,
};

const anyBytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "must be bytes");
/** What the lengths of byte strings are, to be read from a schema. */
export const byteLengths = z.registry<{ readonly min: number; readonly max: number }>();
export const bytesOf = (length: number) =>
  anyBytes
    .refine((value) => value.length === length, `must have ${length} bytes`)
    .register(byteLengths, { min: length, max: length });
export const bytesUpTo = (max: number) =>
  anyBytes
    .refine((value) => value.length <= max, `must have at most ${max} bytes`)
    .register(byteLengths, { min: 0, max });
export const textUpTo = (max: number) => z.string().max(max);
/** A whole number that a JavaScript number holds exactly. */
export const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
export const segmentNumber = z.int().min(0).max(SEGMENT_NUMBER_MAX);

// Ids are text in the program and bytes on the wire. What is no text is not encoded: of a field that may be absent, zod
// asks for the bytes of what is not there, and takes an issue, but nothing thrown, for its absence.
const idText = <T extends string>() => z.custom<T>((value) => typeof value === "string", "must be an id");
export const peerId = z.codec(bytesOf(PUBLIC_KEY_BYTES), idText<ReturnType<typeof peerIdOf>>(), {
  decode: (bytes) => peerIdOf(bytes),
  encode: (id) => publicKeyOfPeer(id),
});
export const ownerId = z.codec(bytesOf(PUBLIC_KEY_BYTES), idText<ReturnType<typeof ownerIdOf>>(), {
  decode: (bytes) => ownerIdOf(bytes),
  encode: (id) => idBytes(id),
});
export const incarnation = z.codec(bytesOf(INCARNATION_BYTES), idText<ReturnType<typeof incarnationOf>>(), {
  decode: (bytes) => incarnationOf(bytes),
  encode: (id) => idBytes(id),
});
export const swarmId = z.codec(bytesOf(HASH_BYTES), idText<ReturnType<typeof swarmIdOf>>(), {
  decode: (bytes) => swarmIdOf(bytes),
  encode: (id) => idBytes(id),
});
export const snapshotId = z.codec(bytesOf(HASH_BYTES), idText<ReturnType<typeof snapshotIdOf>>(), {
  decode: (bytes) => snapshotIdOf(bytes),
  encode: (id) => idBytes(id),
});
