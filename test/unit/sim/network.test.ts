import { beforeEach, expect, test } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { createSimNetworks, type SimNetworks, type SimNode } from "../../../sim/network.ts";
import { AssertionFailure } from "../../../src/base/assert.ts";
import { ownerIdOf, peerIdOf } from "../../../src/base/ids.ts";
import type { PeerRole } from "../../../src/ports/network.ts";
import { codeOf, message } from "../../contract/network.ts";

// The contract is checked in test/contract; here are the faults, and that time is the clock's alone.
let clock: VirtualClock;
let swarm: SimNetworks;
let nodes: SimNode[];
const roles = new Map<string, PeerRole>();

beforeEach(() => {
  clock = new VirtualClock();
  swarm = createSimNetworks({ clock });
  roles.clear();
  nodes = [1, 2, 3].map((byte) => {
    const self = peerIdOf(new Uint8Array(32).fill(byte));
    roles.set(self, "member");
    return swarm.add({ self, roleOf: (peer) => roles.get(peer) ?? "stranger" });
  });
});

const [A, B, C] = [0, 1, 2];
const node = (index: number): SimNode => nodes[index] as SimNode;
const self = (index: number) => node(index).network.self;
const ask = (from: number, to: number, head = "") =>
  node(from).network.request(self(to), "data", message(head), { idleTimeoutMs: 1000 });

test("a cut link fails what is under way and what comes, between these two alone, until it is healed", async () => {
  const heard: [string, boolean][] = [];
  node(A).network.onConnection((peer, connected) => heard.push([peer, connected]));
  node(B).network.handle("data", () => new Promise(() => {}));
  node(C).network.handle("data", async () => message("c"));
  const underWay = codeOf(ask(A, B));
  await Promise.resolve();
  swarm.cut(self(A), self(B));
  expect(await underWay).toBe("PEER_UNREACHABLE");
  expect(await codeOf(ask(A, B))).toBe("PEER_UNREACHABLE");
  await ask(A, C);
  await ask(B, C);
  node(B).network.handle("data", async () => message("b"));
  swarm.heal(self(A), self(B));
  await ask(A, B);
  expect(heard).toEqual([
    [self(B), false],
    [self(B), true],
  ]);
});

test("a crashed node answers nothing, asks nothing, and comes back without handlers", async () => {
  for (const index of [A, B]) node(index).network.handle("data", async () => message());
  swarm.crash(self(B));
  expect(await codeOf(ask(A, B))).toBe("PEER_UNREACHABLE");
  expect(await codeOf(ask(B, A))).toBe("PEER_UNREACHABLE");
  expect(node(A).network.connected()).toEqual([self(C)]);
  swarm.restart(self(B));
  expect(node(A).network.connected().sort()).toEqual([self(B), self(C)].sort());
  expect(await codeOf(ask(A, B))).toBe("PEER_BUSY");
  await ask(B, A);
});

test("a hung node costs exactly the idle timeout, by the clock", async () => {
  node(B).network.handle("data", async () => message());
  swarm.hang(self(B), true);
  let outcome: string | undefined;
  void codeOf(ask(A, B)).then((code) => {
    outcome = code;
  });
  await clock.advance(999);
  expect(outcome).toBeUndefined();
  await clock.advance(1);
  expect(outcome).toBe("PEER_TIMEOUT");
  swarm.hang(self(B), false);
  await ask(A, B);
});

test("a lost answer: it was carried out, and the caller does not know", async () => {
  let carriedOut = 0;
  node(B).network.handle("data", async () => {
    carriedOut++;
    return message();
  });
  swarm.loseAnswers((from, to) => from === self(A) && to === self(B));
  expect(await codeOf(ask(A, B))).toBe("PEER_UNREACHABLE");
  await ask(C, B);
  swarm.loseAnswers(undefined);
  await ask(A, B);
  expect(carriedOut).toBe(3);
});

test("a hook sees each request and may delay it by the clock", async () => {
  node(B).network.handle("data", async () => message());
  const seen: string[] = [];
  swarm.intercept(async ({ protocol, message: sent }) => {
    seen.push(`${protocol} ${new TextDecoder().decode(sent.head)}`);
    await clock.sleep(500);
  });
  let isDone = false;
  void ask(A, B, "x").then(() => {
    isDone = true;
  });
  await clock.advance(499);
  expect(isDone).toBe(false);
  await clock.advance(1);
  expect(isDone).toBe(true);
  expect(seen).toEqual(["data x"]);
});

test("a broken invariant in a handler is not dressed up as a network fault", async () => {
  node(B).network.handle("data", async () => {
    throw new AssertionFailure("wrong");
  });
  await expect(ask(A, B)).rejects.toBeInstanceOf(AssertionFailure);
});

test("roles that change take effect at once for requests, and for connections at the next refresh", async () => {
  node(B).network.handle("data", async () => message());
  roles.set(self(A), "stranger");
  expect(await codeOf(ask(A, B))).toBe("PEER_UNREACHABLE");
  expect(node(B).network.connected()).toContain(self(A));
  swarm.refresh();
  expect(node(B).network.connected()).not.toContain(self(A));
});

test("a pool is found as long as anybody can be asked", async () => {
  const owner = ownerIdOf(new Uint8Array(32).fill(9));
  await node(B).directory.announce(owner);
  expect(await node(A).directory.pool(owner)).toEqual([self(B)]);
  swarm.cut(self(A), self(B));
  expect(await node(A).directory.pool(owner)).toEqual([self(B)]);
  swarm.cut(self(A), self(C));
  expect(await node(A).directory.pool(owner)).toEqual([]);
});
