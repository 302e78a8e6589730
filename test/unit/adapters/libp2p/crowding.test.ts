import { multiaddr } from "@multiformats/multiaddr";
import { expect, it } from "vitest";
import { crowdedOut } from "../../../../src/adapters/libp2p/crowding.ts";
import { Handshakes, sourceOf } from "../../../../src/adapters/libp2p/handshakes.ts";
import { type PeerId, peerIdOf } from "../../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../../src/base/log.ts";
import type { PeerRole } from "../../../../src/ports/network.ts";

const peer = (number: number): PeerId => peerIdOf(new Uint8Array(32).fill(number));
const connections = (...peers: number[]) => peers.map((number, age) => ({ peer: peer(number), age }));
const as = (role: PeerRole) => (): PeerRole => role;

it("the oldest connections of a peer go when it has more than four", () => {
  const open = connections(1, 2, 1, 1, 1, 1, 1);
  expect(crowdedOut(peer(1), open, as("member")).map(({ age }) => age)).toEqual([0, 2]);
  expect(crowdedOut(peer(2), open, as("member"))).toEqual([]);
});

it("of guests that have too many together, the one with most loses its oldest; members lose nothing by it", () => {
  const guests = Array.from({ length: 62 }, (_, index) => index + 10);
  const open = connections(1, 1, 1, 2, 2, ...guests, 3);
  const roleOf = (id: PeerId): PeerRole => (id === peer(1) ? "member" : "join-guest");
  expect(crowdedOut(peer(3), open, roleOf).map(({ age }) => age)).toEqual([3]);
  expect(crowdedOut(peer(1), open, roleOf)).toEqual([]);
});

it("of handshakes that are too many, the oldest of the source with most goes, and never the only one of its source", () => {
  const handshakes = new Handshakes({ max: 10, log: SILENT_LOG });
  const aborted: string[] = [];
  const begin = (host: string, port: number) => {
    const address = `/ip4/${host}/tcp/${port}`;
    let close = (): void => {};
    const connection = {
      remoteAddr: multiaddr(address),
      abort: () => {
        aborted.push(address);
        close();
      },
      addEventListener: (_: "close", listener: () => void) => {
        close = listener;
      },
    };
    handshakes.begun(connection);
    return connection;
  };
  const member = begin("192.0.2.1", 1);
  for (let port = 1; port <= 100; port++)
    for (const host of ["198.51.100.1", "198.51.100.2"]) begin(host, port);
  expect(aborted).not.toContain("/ip4/192.0.2.1/tcp/1");
  expect(aborted[0]).toBe("/ip4/198.51.100.1/tcp/1");
  expect([aborted.length, handshakes.count]).toEqual([191, 10]);
  handshakes.ended(member);
  handshakes.ended(member);
  expect(handshakes.count).toBe(9);
});

it.each([
  ["/ip4/192.0.2.7/tcp/4001", "192.0.2.7"],
  ["/ip6/2001:db8:1:2:3:4:5:6/tcp/1", "2001:db8:1:2::/64"],
  ["/ip6/2001:db8::9/tcp/1", "2001:db8:0:0::/64"],
  ["/ip6/::1/tcp/1", "0:0:0:0::/64"],
])("%s counts as %s", (address, source) => {
  expect(sourceOf(multiaddr(address))).toBe(source);
});
