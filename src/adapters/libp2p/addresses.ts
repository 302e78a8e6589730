import { isIP } from "node:net";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { Fault } from "../../base/fault.ts";
import { type PeerId, parsePeerId } from "../../base/ids.ts";

export const DEFAULT_PORT = 4001;

function bad(text: string, why: string): Fault {
  return new Fault({ code: "USAGE", reason: `"${text}" is not an address: ${why}` });
}

function parse(text: string): Multiaddr {
  try {
    return multiaddr(text);
  } catch (error) {
    throw bad(text, error instanceof Error ? error.message : "it cannot be read");
  }
}

/** "HOST:PORT", "[IPV6]:PORT", "HOST", ":PORT" as host and port; an IPv6 address without brackets has no port. */
function splitHostPort(text: string): { host: string; port: number } {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const plain = /^([^:]*)(?::(\d+))?$/.exec(text);
  const match = bracketed ?? plain;
  if (match === null) {
    if (isIP(text) === 6) return { host: text, port: DEFAULT_PORT };
    throw bad(text, "expected HOST:PORT or a multiaddr");
  }
  const port = match[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  if (port > 65535) throw bad(text, "a port is at most 65535");
  return { host: match[1] ?? "", port };
}

function tcpMultiaddr(text: string, host: string, port: number): string {
  const version = isIP(host);
  if (version === 4) return `/ip4/${host}/tcp/${port}`;
  if (version === 6) return `/ip6/${host}/tcp/${port}`;
  if (!/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(host))
    throw bad(text, "the host name has other characters");
  return `/dns/${host}/tcp/${port}`;
}

/** What `--listen` takes, as a multiaddr: one already, or HOST:PORT, where no host or "*" means every interface. */
export function parseListenAddress(text: string): string {
  if (text.startsWith("/")) return withoutPeer(parse(text)).toString();
  const { host, port } = splitHostPort(text);
  if (host === "" || host === "*") return `/ip4/0.0.0.0/tcp/${port}`;
  if (isIP(host) === 0) {
    if (host === "localhost") return `/ip4/127.0.0.1/tcp/${port}`;
    throw bad(text, "listening needs an IP address, not a name");
  }
  return tcpMultiaddr(text, host, port);
}

/** An address to dial, HOST:PORT or a multiaddr, with the peer id if it names one. Throws `USAGE`. */
export function parseDialAddress(text: string): { address: string; peer?: PeerId } {
  if (!text.startsWith("/")) {
    const { host, port } = splitHostPort(text);
    if (host === "") throw bad(text, "there is no host");
    return { address: tcpMultiaddr(text, host, port) };
  }
  const parsed = parse(text);
  const address = withoutPeer(parsed).toString();
  if (address === "/") throw bad(text, "it names a peer but not where it is");
  const id = parsed.getComponents().findLast((component) => component.name === "p2p")?.value;
  if (id === undefined) return { address };
  const peer = parsePeerId(id);
  if (peer === undefined) throw bad(text, "the peer id is not that of an Ed25519 key");
  return { address, peer };
}

/** The multiaddr without its peer id, or `undefined` when it cannot be one we could dial. */
export function cleanAddress(text: string): string | undefined {
  if (text.length > 300) return undefined;
  try {
    const address = withoutPeer(multiaddr(text));
    return isDialable(address) ? address.toString() : undefined;
  } catch {
    return undefined;
  }
}

function isDialable(address: Multiaddr): boolean {
  const [host, transport, ...rest] = address.getComponents();
  if (host === undefined || transport?.name !== "tcp" || rest.length > 0) return false;
  if (!["ip4", "ip6", "dns", "dns4", "dns6"].includes(host.name)) return false;
  return transport.value !== "0" && !isWildcard(host.value);
}

function isWildcard(host: string | undefined): boolean {
  return host === "0.0.0.0" || host === "::";
}

export function withoutPeer(address: Multiaddr): Multiaddr {
  return address.getComponents().some((component) => component.name === "p2p")
    ? address.decapsulate("/p2p")
    : address;
}

export function isLoopback(address: Multiaddr | string): boolean {
  return /^\/ip4\/127\.|^\/ip6\/::1\/|^\/dns[46]?\/localhost\//.test(address.toString());
}

/**
 * Those of our addresses that others should hear of: loopback only where there is nothing else, because at
 * another machine it leads to that machine; link-local never, because it lacks the interface.
 */
export function reachable<A extends Multiaddr | string>(addresses: readonly A[]): A[] {
  const usable = addresses.filter((address) => !/^\/(ip6zone\/|ip6\/fe80:)/.test(address.toString()));
  const outside = usable.filter((address) => !isLoopback(address));
  return outside.length > 0 ? outside : usable;
}

/** The listen address with the port that the system gave, where port 0 was asked for. */
export function withBoundPort(listen: string, bound: readonly { getAddrs(): Multiaddr[] }[]): string {
  if (!listen.endsWith("/tcp/0")) return listen;
  const [wanted] = multiaddr(listen).getComponents();
  // A listener on every interface tells the interfaces' addresses instead of its own.
  const listener = bound.find((candidate) =>
    candidate.getAddrs().some((address) => {
      const [host] = address.getComponents();
      return host?.name === wanted?.name && (isWildcard(wanted?.value) || host?.value === wanted?.value);
    }),
  );
  const components = listener?.getAddrs()[0]?.getComponents();
  const port = components?.find((component) => component.name === "tcp")?.value;
  return port === undefined ? listen : listen.replace(/\/tcp\/0$/, `/tcp/${port}`);
}
