import { randomBytes } from "node:crypto";
import { multiaddr } from "@multiformats/multiaddr";
import { describe, expect, test } from "vitest";
import {
  cleanAddress,
  parseDialAddress,
  parseListenAddress,
  reachable,
  withBoundPort,
} from "../../../../src/adapters/libp2p/addresses.ts";
import { isFault } from "../../../../src/base/fault.ts";
import { peerIdOf } from "../../../../src/base/ids.ts";

const isUsage = (run: () => unknown): boolean => {
  try {
    run();
    return false;
  } catch (error) {
    return isFault(error, "USAGE");
  }
};

describe("what --listen takes", () => {
  test.each([
    ["0.0.0.0:4001", "/ip4/0.0.0.0/tcp/4001"],
    [":7000", "/ip4/0.0.0.0/tcp/7000"],
    ["*:7000", "/ip4/0.0.0.0/tcp/7000"],
    ["10.1.2.3", "/ip4/10.1.2.3/tcp/4001"],
    ["127.0.0.1:0", "/ip4/127.0.0.1/tcp/0"],
    ["localhost:9", "/ip4/127.0.0.1/tcp/9"],
    ["[::]:4001", "/ip6/::/tcp/4001"],
    ["::1", "/ip6/::1/tcp/4001"],
    ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/4001"],
  ])("%s", (text, expected) => expect(parseListenAddress(text)).toBe(expected));

  test.each(["host.example:4001", "10.0.0.1:65536", "10.0.0.1:x", "/ip4/10.0.0.1/tcp/x", "a:b:c"])(
    "not %s",
    (text) => expect(isUsage(() => parseListenAddress(text))).toBe(true),
  );
});

describe("what can be dialled", () => {
  const peer = peerIdOf(randomBytes(32));
  test.each([
    ["backup.example.org:4001", "/dns/backup.example.org/tcp/4001"],
    ["10.1.2.3:5", "/ip4/10.1.2.3/tcp/5"],
    ["[2001:db8::1]:5", "/ip6/2001:db8::1/tcp/5"],
    ["branch7", "/dns/branch7/tcp/4001"],
    ["/dns4/branch7/tcp/1", "/dns4/branch7/tcp/1"],
  ])("%s", (text, address) => expect(parseDialAddress(text)).toEqual({ address }));

  test("with the peer id that must answer", () => {
    expect(parseDialAddress(`/ip4/10.1.2.3/tcp/5/p2p/${peer}`)).toEqual({
      address: "/ip4/10.1.2.3/tcp/5",
      peer,
    });
  });

  test.each([
    ":4001",
    "a b:1",
    "-x:1",
    `/p2p/${peer}`,
    "/ip4/10.1.2.3/tcp/5/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
  ])("not %s", (text) => expect(isUsage(() => parseDialAddress(text))).toBe(true));
});

test("only addresses that a TCP dial can use are kept from what others say", () => {
  expect(cleanAddress("/ip4/10.0.0.1/tcp/1/p2p/12D3KooWM9i59PamV7YbP9oEZDprykMV93fmLWdW4NkrpTpVQhnx")).toBe(
    "/ip4/10.0.0.1/tcp/1",
  );
  for (const bad of [
    "",
    "x",
    "/ip4/10.0.0.1/udp/1",
    "/ip4/0.0.0.0/tcp/1",
    "/ip4/10.0.0.1/tcp/0",
    "/unix/tmp",
    `/dns/${"a".repeat(400)}/tcp/1`,
  ]) {
    expect([bad, cleanAddress(bad)]).toEqual([bad, undefined]);
  }
});

test("loopback is told only where there is nothing else, link-local never", () => {
  const lan = "/ip4/10.0.0.1/tcp/1";
  expect(reachable(["/ip4/127.0.0.1/tcp/1", lan, "/ip6/::1/tcp/1", "/ip6/fe80::1/tcp/1"])).toEqual([lan]);
  expect(reachable(["/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1"])).toEqual(["/ip4/127.0.0.1/tcp/1"]);
});

test("port 0 is told as the port that was given", () => {
  const bound = [
    { getAddrs: () => [multiaddr("/ip4/127.0.0.1/tcp/11")] },
    { getAddrs: () => [multiaddr("/ip6/::1/tcp/12"), multiaddr("/ip6/2001:db8::1/tcp/12")] },
  ];
  expect(withBoundPort("/ip4/127.0.0.1/tcp/0", bound)).toBe("/ip4/127.0.0.1/tcp/11");
  expect(withBoundPort("/ip4/0.0.0.0/tcp/0", bound)).toBe("/ip4/0.0.0.0/tcp/11");
  expect(withBoundPort("/ip6/::/tcp/0", bound)).toBe("/ip6/::/tcp/12");
  expect(withBoundPort("/ip4/10.0.0.1/tcp/5", bound)).toBe("/ip4/10.0.0.1/tcp/5");
});
