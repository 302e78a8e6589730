import type { PeerId } from "../base/ids.ts";
import type { Network, RequestHandler } from "../ports/index.ts";

/**
 * The same network, with an ear: whoever asks, or answers, is up. That a connection is open says nothing; a process
 * that hangs keeps its connections.
 */
export function listening(inner: Network, heard: (peer: PeerId) => void): Network {
  return {
    self: inner.self,
    async request(peer, protocol, message, options) {
      const answer = await inner.request(peer, protocol, message, options);
      heard(peer);
      return answer;
    },
    handle: (protocol, handler, answerBytesMax) => {
      const hearing: RequestHandler = (from, message) => {
        heard(from);
        return handler(from, message);
      };
      inner.handle(protocol, hearing, answerBytesMax);
    },
    connected: () => inner.connected(),
    onConnection: (listener) => inner.onConnection(listener),
    onRefused: (listener) => inner.onRefused(listener),
    disconnect: (peer) => inner.disconnect(peer),
  };
}
