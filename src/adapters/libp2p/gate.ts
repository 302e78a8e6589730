import type { ConnectionGater, PeerId as Libp2pPeerId } from "@libp2p/interface";
import type { KadDHTComponents } from "@libp2p/kad-dht";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { PeerRole, Protocol } from "../../ports/network.ts";
import { type Handshakes, sourceOf } from "./handshakes.ts";
import { fromLibp2p } from "./peers.ts";
import { listenForLife } from "./signs-of-life.ts";

export type RoleOf = (peer: PeerId) => PeerRole;
type Registrar = KadDHTComponents["registrar"];

export function roleAt(peer: Libp2pPeerId, roleOf: RoleOf): PeerRole {
  const id = fromLibp2p(peer);
  return id === undefined ? "stranger" : roleOf(id);
}

export function mayOpen(role: PeerRole, protocol: Protocol): boolean {
  switch (role) {
    case "member":
      return true;
    case "join-guest":
      return protocol === "join";
    case "recovery-guest":
      return protocol === "recover";
    case "former":
      return protocol === "sync";
    case "stranger":
      return false;
  }
}

/**
 * Who gets past the handshake, which is what proves the peer id: whoever has a role. A stranger meets no
 * protocol at all. It cannot be refused earlier, since before there is only an IP address.
 */
export function gaterFor(roleOf: RoleOf, handshakes: Handshakes, log: Log): ConnectionGater {
  return {
    denyInboundConnection: (socket) => {
      handshakes.begun(socket);
      return false;
    },
    // libp2p's own default refuses private addresses in some environments; ours are mostly private.
    denyDialMultiaddr: () => false,
    denyDialPeer: (peer) => roleAt(peer, roleOf) !== "member",
    denyInboundEncryptedConnection: (peer, socket) => {
      const isStranger = roleAt(peer, roleOf) === "stranger";
      if (isStranger)
        log.info("stranger-turned-away", { source: sourceOf(socket.remoteAddr), stranger: peer.toString() });
      return isStranger;
    },
    denyInboundUpgradedConnection: (_, socket) => {
      handshakes.ended(socket);
      return listenForLife(socket);
    },
    denyOutboundUpgradedConnection: (_, socket) => listenForLife(socket),
  };
}

/**
 * The components with which kad-dht, identify and ping are built, so that they serve members only: their
 * streams from others are reset, and others never come to their notice as peers that speak the protocol.
 * Both are needed: a guest that runs kad-dht would else enter routing tables by being asked who it is.
 * `registrar.use` would be the natural place, but it hands every stream to every handler that ever ran.
 */
export function forMembersOnly<C extends { registrar: Registrar }>(components: C, roleOf: RoleOf): C {
  const registrar = membersRegistrar(components.registrar, roleOf);
  return new Proxy(components, {
    get: (target, property) => (property === "registrar" ? registrar : Reflect.get(target, property)),
  });
}

function membersRegistrar(inner: Registrar, roleOf: RoleOf): Registrar {
  const isMember = (peer: Libp2pPeerId): boolean => roleAt(peer, roleOf) === "member";
  return {
    getProtocols: () => inner.getProtocols(),
    getHandler: (protocol) => inner.getHandler(protocol),
    unhandle: (protocol, options) => inner.unhandle(protocol, options),
    use: (protocol, middleware) => inner.use(protocol, middleware),
    unuse: (protocol) => inner.unuse(protocol),
    getMiddleware: (protocol) => inner.getMiddleware(protocol),
    unregister: (id) => inner.unregister(id),
    getTopologies: (protocol) => inner.getTopologies(protocol),
    handle: (protocol, handler, options) =>
      inner.handle(
        protocol,
        async (stream, connection) => {
          if (isMember(connection.remotePeer)) await handler(stream, connection);
          else stream.abort(new Error("members only"));
        },
        options,
      ),
    register: (protocol, topology, options) =>
      inner.register(
        protocol,
        {
          ...topology,
          onConnect: (peer, connection) =>
            isMember(peer) ? topology.onConnect?.(peer, connection) : undefined,
        },
        options,
      ),
  };
}
