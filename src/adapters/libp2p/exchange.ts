import type { Connection } from "@libp2p/interface";
import type { ByteBudget } from "../../base/concurrency.ts";
import { Fault } from "../../base/fault.ts";
import type { NetMessage } from "../../ports/network.ts";
import {
  type FrameLengths,
  isAsked,
  lengthsOf,
  readLengths,
  readMessage,
  readStatus,
  STATUS,
  withinLimits,
  writeRequestHeader,
  writeRequestRest,
} from "./framing.ts";
import type { IdleGuard } from "./idle-guard.ts";
import { type ProtocolLimits, STREAMS_PER_CONNECTION_MAX } from "./limits.ts";
import { endLater, StreamIo } from "./stream-io.ts";

export interface ExchangeInit {
  /** Newest first: the first that the other end knows is spoken. */
  readonly protocolIds: readonly string[];
  readonly limits: ProtocolLimits;
  readonly message: NetMessage;
  readonly guard: IdleGuard;
  /** Room for the answer. */
  readonly budget: ByteBudget;
  /** For the faults. */
  readonly peer: string;
  readonly onProgress: () => void;
}

/**
 * The calling half of one request on an open connection. Throws `PEER_BUSY`, `PEER_REFUSED`, `PEER_PROTOCOL`,
 * the guard's reason, or whatever libp2p throws when stream or connection break.
 */
export async function exchange(connection: Connection, init: ExchangeInit): Promise<NetMessage> {
  const { guard } = init;
  const stream = await connection.newStream([...init.protocolIds], {
    signal: guard.signal,
    maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
  });
  const io = new StreamIo(stream, guard.signal, () => {
    guard.touch();
    init.onProgress();
  });
  try {
    const lengths = await ask(io, init);
    const answer = await readAnswer(io, lengths, init);
    io.detach();
    endLater(stream);
    return answer;
  } catch (error) {
    io.detach();
    stream.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

/** Sends the request; returns the lengths of the answer. */
async function ask(io: StreamIo, init: ExchangeInit): Promise<FrameLengths> {
  const { message, peer } = init;
  const asked = isAsked(lengthsOf(message));
  await writeRequestHeader(io, message);
  if (!asked) await io.finish();
  let status = await readStatus(io);
  if (asked && status === STATUS.go) {
    await writeRequestRest(io, message);
    await io.finish();
    status = await readStatus(io);
  }
  switch (status) {
    case STATUS.ok:
      return await readLengths(io);
    case STATUS.busy:
      throw new Fault({ code: "PEER_BUSY", peer });
    case STATUS.refused:
      throw new Fault({
        code: "PEER_REFUSED",
        peer,
        refusal: "role",
        reason: "our role may not use this protocol",
      });
    case STATUS.tooLarge:
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "the request is larger than it takes" });
    case STATUS.go:
    case undefined:
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "the answer has no known status" });
  }
}

async function readAnswer(io: StreamIo, lengths: FrameLengths, init: ExchangeInit): Promise<NetMessage> {
  if (!withinLimits(lengths, init.limits.answer)) {
    const reason = `an answer of ${lengths.headBytes} + ${lengths.bodyBytes} bytes is more than the protocol allows`;
    throw new Fault({ code: "PEER_PROTOCOL", peer: init.peer, reason });
  }
  const bytes = lengths.headBytes + lengths.bodyBytes;
  await init.guard.hold(() => init.budget.acquire(bytes, init.guard.signal));
  try {
    return await readMessage(io, lengths);
  } finally {
    init.budget.release(bytes);
  }
}
