import type { Connection, MultiaddrConnection } from "@libp2p/interface";

/** When anything last came in over a connection: data, a window update, an answer to yamux's ping. */
export interface SignsOfLife {
  heardMs: number;
}

// A connection and the socket under it are different objects that share their timeline.
const known = new WeakMap<object, SignsOfLife>();

export function signsOfLife(connection: Connection): SignsOfLife {
  return known.get(connection.timeline) ?? { heardMs: performance.now() };
}

/**
 * For the gater's hooks that get to see the socket, used to listen to it: what streams show is too little, since a
 * peer that only takes bytes from us says nothing on them. These hooks run after encryption and multiplexer
 * were attached; a listener that is there earlier would swallow parts of the handshake. False: it denies nothing.
 */
export function listenForLife(socket: MultiaddrConnection): boolean {
  const life: SignsOfLife = { heardMs: performance.now() };
  known.set(socket.timeline, life);
  socket.addEventListener("message", () => {
    life.heardMs = performance.now();
  });
  return false;
}
