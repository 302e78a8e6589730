import { yamux } from "@libp2p/yamux";
import { READ_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_INBOUND_MAX } from "./limits.ts";

/**
 * The multiplexer of nodes and guests. The initial window stays at yamux's 256 KiB: each end also takes it for
 * what the other grants, so it must not differ. It grows up to the maximum on its own.
 */
export function muxer(): ReturnType<typeof yamux> {
  return yamux({
    maxInboundStreams: STREAMS_INBOUND_MAX,
    streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES, maxReadBufferLength: READ_BUFFER_BYTES },
  });
}
