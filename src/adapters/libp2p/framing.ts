import { concatBytes, EMPTY_BYTES } from "../../base/bytes.ts";
import type { NetMessage } from "../../ports/network.ts";
import { type MessageLimits, UNASKED_BYTES_MAX } from "./limits.ts";
import type { StreamIo } from "./stream-io.ts";

/**
 * One stream carries one request and its answer; docs/format/05-wire-framing.md has the layout.
 *
 *   caller:  head length u32, body length u32, [waits for GO when larger than UNASKED_BYTES_MAX], head, body, end
 *   server:  [GO], status, and after OK: head length u32, body length u32, head, body; end
 */
export const STATUS = {
  /** Not a status: "send the rest". */
  go: 0,
  ok: 1,
  /** As many requests under way as the server takes. */
  busy: 2,
  /** The caller's role may not use this protocol. */
  refused: 3,
  /** The lengths in the header are beyond the protocol's limits. */
  tooLarge: 4,
} as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];

export interface FrameLengths {
  readonly headBytes: number;
  readonly bodyBytes: number;
}

const LENGTHS_BYTES = 8;

export function messageBytes(message: NetMessage): number {
  return message.head.length + message.body.length;
}

export function withinLimits(lengths: FrameLengths, limits: MessageLimits): boolean {
  return lengths.headBytes <= limits.headBytesMax && lengths.bodyBytes <= limits.bodyBytesMax;
}

export function lengthsOf(message: NetMessage): FrameLengths {
  return { headBytes: message.head.length, bodyBytes: message.body.length };
}

/** Whether the sender of a request waits for GO before it sends more than the header. */
export function isAsked(lengths: FrameLengths): boolean {
  return lengths.headBytes + lengths.bodyBytes > UNASKED_BYTES_MAX;
}

export async function writeRequestHeader(io: StreamIo, message: NetMessage): Promise<void> {
  const header = encodeLengths(lengthsOf(message));
  // What is small goes out in one piece: one frame of the multiplexer, one of the encryption, one packet.
  if (isAsked(lengthsOf(message))) await io.write(header);
  else await io.write(concatBytes(header, message.head, message.body));
}

/** The part that follows GO. */
export async function writeRequestRest(io: StreamIo, message: NetMessage): Promise<void> {
  await io.write(message.head);
  await io.write(message.body);
}

export async function writeStatus(io: StreamIo, status: Status): Promise<void> {
  await io.write(Uint8Array.of(status));
}

export async function writeAnswer(io: StreamIo, message: NetMessage): Promise<void> {
  const header = concatBytes(Uint8Array.of(STATUS.ok), encodeLengths(lengthsOf(message)));
  if (isAsked(lengthsOf(message))) {
    await io.write(header);
    await writeRequestRest(io, message);
  } else {
    await io.write(concatBytes(header, message.head, message.body));
  }
}

export async function readLengths(io: StreamIo): Promise<FrameLengths> {
  const bytes = new Uint8Array(LENGTHS_BYTES);
  await io.read(bytes);
  const view = new DataView(bytes.buffer);
  return { headBytes: view.getUint32(0), bodyBytes: view.getUint32(4) };
}

/** `undefined` when the byte is none of ours. */
export async function readStatus(io: StreamIo): Promise<Status | undefined> {
  const byte = new Uint8Array(1);
  await io.read(byte);
  return Object.values(STATUS).find((status) => status === byte[0]);
}

/** Lengths must have been checked: this allocates them. */
export async function readMessage(io: StreamIo, lengths: FrameLengths): Promise<NetMessage> {
  const head = await readBytes(io, lengths.headBytes);
  const body = await readBytes(io, lengths.bodyBytes);
  return { head, body };
}

async function readBytes(io: StreamIo, length: number): Promise<Uint8Array> {
  if (length === 0) return EMPTY_BYTES;
  const bytes = new Uint8Array(length);
  await io.read(bytes);
  return bytes;
}

function encodeLengths(lengths: FrameLengths): Uint8Array {
  const bytes = new Uint8Array(LENGTHS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lengths.headBytes);
  view.setUint32(4, lengths.bodyBytes);
  return bytes;
}
