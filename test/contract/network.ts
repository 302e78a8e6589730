import { createHash, randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { must } from "../../src/base/assert.ts";
import { Fault, type FaultCode } from "../../src/base/fault.ts";
import { ownerIdOf, type PeerId, peerIdOf } from "../../src/base/ids.ts";
import type { Directory } from "../../src/ports/directory.ts";
import {
  ANSWER_SMALL_BYTES,
  NET_BODY_BYTES_MAX,
  NET_HEAD_BYTES_MAX,
  type NetMessage,
  type Network,
  type PeerRole,
} from "../../src/ports/network.ts";

/** Requests of one peer in one protocol that the nodes of a swarm under test serve at a time. */
export const CONTRACT_INBOUND_PER_PEER = 4;

export interface ContractNode {
  readonly network: Network;
  readonly directory: Directory;
  /** Ends as a killed process does. */
  kill(): Promise<void>;
}

export interface ContractGuest {
  readonly network: Network;
  dial(node: ContractNode): Promise<PeerId>;
}

/** A small swarm with one roster that all nodes see; a new node is a member, a new guest a stranger. */
export interface ContractSwarm {
  node(): Promise<ContractNode>;
  guest(): Promise<ContractGuest>;
  setRole(peer: PeerId, role: PeerRole): void;
  stop(): Promise<void>;
}

const IDLE = { idleTimeoutMs: 20_000 };

export function message(head: string | Uint8Array = "", body: Uint8Array = new Uint8Array(0)): NetMessage {
  return { head: typeof head === "string" ? new TextEncoder().encode(head) : head, body };
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 120_000,
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The code of the fault that the promise rejects with; anything else is an error of the test. */
export async function codeOf(promise: Promise<unknown>): Promise<FaultCode> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Fault) return error.detail.code;
    throw error;
  }
  throw new Error("it did not fail");
}

export function networkContract(name: string, makeSwarm: () => Promise<ContractSwarm>): void {
  describe(`Network and Directory: ${name}`, () => {
    let swarm: ContractSwarm;
    let a: ContractNode;
    let b: ContractNode;

    beforeEach(async () => {
      swarm = await makeSwarm();
      a = await swarm.node();
      b = await swarm.node();
      await until("the nodes are connected", () => isConnected(a, b) && isConnected(b, a));
    });
    afterEach(async () => {
      await swarm.stop();
    });

    const isConnected = (from: ContractNode, to: ContractNode): boolean =>
      from.network.connected().includes(to.network.self);
    const ask = (
      from: ContractNode,
      to: ContractNode,
      sent: NetMessage,
      idleTimeoutMs = IDLE.idleTimeoutMs,
    ) => from.network.request(to.network.self, "data", sent, { idleTimeoutMs });

    test("head and body arrive as they were sent, both ways, at every size", async () => {
      b.network.handle("data", async (from, received) => {
        expect(from).toBe(a.network.self);
        return { head: received.head, body: received.body };
      });
      for (const bytes of [0, 1, 65_535, 65_536, 65_537, 300_000, 5 * 1024 * 1024]) {
        const sent = message(randomBytes(Math.min(bytes, 100_000)), randomBytes(bytes));
        const answer = await ask(a, b, sent);
        expect(digest(answer.head)).toBe(digest(sent.head));
        expect(answer.body.length).toBe(bytes);
        expect(digest(answer.body)).toBe(digest(sent.body));
      }
    });

    test("a request of the largest size arrives, a larger one is not sent", async () => {
      let largest = 0;
      b.network.handle("data", async (_, received) => {
        largest = Math.max(largest, received.head.length + received.body.length);
        return message();
      });
      await ask(a, b, message(new Uint8Array(NET_HEAD_BYTES_MAX), new Uint8Array(NET_BODY_BYTES_MAX)));
      expect(largest).toBe(NET_HEAD_BYTES_MAX + NET_BODY_BYTES_MAX);
      expect(await codeOf(ask(a, b, message(new Uint8Array(NET_HEAD_BYTES_MAX + 1))))).toBe("PEER_PROTOCOL");
      expect(await codeOf(ask(a, b, message("", new Uint8Array(NET_BODY_BYTES_MAX + 1))))).toBe(
        "PEER_PROTOCOL",
      );
    });

    test("many at once: each reaches the handler once and gets its own answer", async () => {
      const seen = new Map<string, number>();
      b.network.handle("data", async (_, received) => {
        const id = textOf(received.head);
        seen.set(id, (seen.get(id) ?? 0) + 1);
        return message(`${id} answered`);
      });
      const ids = Array.from({ length: 60 }, (_, index) => `${index}`);
      // The other end may call a burst busy: then the request was not carried out and is sent again.
      const patient = async (id: string): Promise<string> => {
        for (;;) {
          try {
            return textOf((await ask(a, b, message(id))).head);
          } catch (error) {
            if (!(error instanceof Fault) || error.detail.code !== "PEER_BUSY") throw error;
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        }
      };
      expect(await Promise.all(ids.map(patient))).toEqual(ids.map((id) => `${id} answered`));
      expect([...seen.values()]).toEqual(ids.map(() => 1));
    });

    test("what the handler does to a message is not seen by the sender, nor the other way round", async () => {
      const answered = new Uint8Array(1000).fill(2);
      b.network.handle("data", async (_, received) => {
        received.body.fill(9);
        return { head: received.head, body: answered };
      });
      const body = new Uint8Array(1000).fill(1);
      const answer = await ask(a, b, message("", body));
      answer.body.fill(7);
      expect(body.every((byte) => byte === 1)).toBe(true);
      expect(answered.every((byte) => byte === 2)).toBe(true);
    });

    test("a handler that throws resets its request alone", async () => {
      b.network.handle("data", async (_, received) => {
        if (textOf(received.head) === "throw") throw new Error("no");
        return message("fine");
      });
      const good = ask(a, b, message("good"));
      expect(await codeOf(ask(a, b, message("throw")))).toBe("PEER_UNREACHABLE");
      expect(textOf((await good).head)).toBe("fine");
      expect(textOf((await ask(a, b, message("good"))).head)).toBe("fine");
    });

    test("an answer beyond the limits fails the request", async () => {
      b.network.handle("data", async () => message("", new Uint8Array(NET_BODY_BYTES_MAX + 1)));
      expect(await codeOf(ask(a, b, message()))).toBe("PEER_UNREACHABLE");
    });

    test("an answer as large as was said arrives, a larger one fails the request", async () => {
      const said: string[] = [];
      const sizeOf = (received: NetMessage): number => Number(textOf(received.head));
      b.network.handle(
        "data",
        async (_, received) => message("", new Uint8Array(sizeOf(received))),
        (from, received) => {
          expect(from).toBe(a.network.self);
          said.push(textOf(received.head));
          return 300_000;
        },
      );
      expect((await ask(a, b, message("300000"))).body.length).toBe(300_000);
      expect(await codeOf(ask(a, b, message("300001")))).toBe("PEER_UNREACHABLE");
      expect(said).toEqual(["300000", "300001"]);
      // What is small need not be said.
      b.network.handle(
        "data",
        async (_, received) => message("", new Uint8Array(sizeOf(received))),
        () => 0,
      );
      expect((await ask(a, b, message(`${ANSWER_SMALL_BYTES}`))).body.length).toBe(ANSWER_SMALL_BYTES);
      expect(await codeOf(ask(a, b, message(`${ANSWER_SMALL_BYTES + 1}`)))).toBe("PEER_UNREACHABLE");
    });

    test("where it throws what the answer may take, the handler does not run", async () => {
      let handled = 0;
      b.network.handle(
        "data",
        async () => {
          handled++;
          return message();
        },
        () => {
          throw new Error("no such request");
        },
      );
      expect(await codeOf(ask(a, b, message()))).toBe("PEER_UNREACHABLE");
      expect(handled).toBe(0);
    });

    test("nobody there: unreachable; nothing heard: timeout", async () => {
      const nobody = peerIdOf(randomBytes(32));
      expect(await codeOf(a.network.request(nobody, "data", message(), IDLE))).toBe("PEER_UNREACHABLE");
      b.network.handle("data", () => new Promise(() => {}));
      expect(await codeOf(ask(a, b, message(), 300))).toBe("PEER_TIMEOUT");
    });

    test("an aborted request rejects with the signal's reason", async () => {
      b.network.handle("data", () => new Promise(() => {}));
      const reason = new Error("changed my mind");
      const controller = new AbortController();
      const pending = a.network.request(b.network.self, "data", message(), {
        ...IDLE,
        signal: controller.signal,
      });
      const outcome = pending.catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.abort(reason);
      expect(await outcome).toBe(reason);
      const late = a.network.request(b.network.self, "data", message(), {
        ...IDLE,
        signal: controller.signal,
      });
      expect(await late.catch((error: unknown) => error)).toBe(reason);
    });

    test("as many requests of a peer as it takes are served, the rest is told busy", async () => {
      const release = Promise.withResolvers<void>();
      let served = 0;
      const serve = async (): Promise<NetMessage> => {
        served++;
        await release.promise;
        return message("done");
      };
      // Its answers are small: else it would be their room that runs out first.
      b.network.handle("data", serve, () => 0);
      const outcomes = Array.from({ length: 12 }, () =>
        ask(a, b, message()).then(
          (answer) => textOf(answer.head),
          (error: unknown) => error,
        ),
      );
      const busy: unknown[] = [];
      for (const outcome of outcomes)
        void outcome.then((value) => value instanceof Fault && busy.push(value.detail.code));
      await until("the excess was refused", () => busy.length === 12 - CONTRACT_INBOUND_PER_PEER);
      expect(served).toBe(CONTRACT_INBOUND_PER_PEER);
      expect(busy.every((code) => code === "PEER_BUSY")).toBe(true);
      release.resolve();
      expect((await Promise.all(outcomes)).filter((value) => value === "done")).toHaveLength(
        CONTRACT_INBOUND_PER_PEER,
      );
    });

    test("guests reach the handler of their own protocol and of no other", async () => {
      const reached: string[] = [];
      for (const protocol of ["data", "sync", "join", "recover"] as const) {
        b.network.handle(protocol, async () => {
          reached.push(protocol);
          return message(protocol);
        });
      }
      for (const [role, own] of [
        ["join-guest", "join"],
        ["recovery-guest", "recover"],
        ["former", "sync"],
      ] as const) {
        const guest = await swarm.guest();
        swarm.setRole(guest.network.self, role);
        const peer = await guest.dial(b);
        expect(peer).toBe(b.network.self);
        expect(textOf((await guest.network.request(peer, own, message(), IDLE)).head)).toBe(own);
        for (const protocol of (["data", "sync", "join", "recover"] as const).filter(
          (other) => other !== own,
        )) {
          expect(await codeOf(guest.network.request(peer, protocol, message(), IDLE))).toBe("PEER_REFUSED");
        }
      }
      expect(reached).toEqual(["join", "recover", "sync"]);
      expect(b.network.connected()).toEqual([a.network.self]);
    });

    test("a stranger is told so, and reaches no handler", async () => {
      let reached = false;
      b.network.handle("join", async () => {
        reached = true;
        return message();
      });
      const guest = await swarm.guest();
      const tried = guest.dial(b).then((peer) => guest.network.request(peer, "join", message(), IDLE));
      expect(await codeOf(tried)).toBe("NOT_A_MEMBER");
      expect(reached).toBe(false);
    });

    test("listeners hear of a peer that goes, until they stop listening", async () => {
      const heard: [PeerId, boolean][] = [];
      const muted: PeerId[] = [];
      a.network.onConnection((peer, connected) => heard.push([peer, connected]));
      a.network.onConnection((peer) => muted.push(peer))();
      const c = await swarm.node();
      await until("the new node is connected", () => isConnected(a, c));
      await c.kill();
      await until("its end is noticed", () => !isConnected(a, c));
      expect(heard).toEqual([
        [c.network.self, true],
        [c.network.self, false],
      ]);
      expect(muted).toEqual([]);
      expect(await codeOf(ask(a, c, message()))).toBe("PEER_UNREACHABLE");
    });

    test("who becomes a stranger and is disconnected reaches nobody, and is not reached", async () => {
      let reached = 0;
      for (const node of [a, b]) {
        node.network.handle("data", async () => {
          reached++;
          return message();
        });
      }
      await ask(a, b, message());
      swarm.setRole(b.network.self, "stranger");
      await a.network.disconnect(b.network.self);
      await until("the connection ended", () => !isConnected(a, b));
      expect(await codeOf(ask(a, b, message(), 3000))).toBe("PEER_UNREACHABLE");
      expect(await codeOf(ask(b, a, message(), 3000))).toBe("PEER_UNREACHABLE");
      expect(reached).toBe(1);
    });

    test("addresses: own, learned, and found again by asking others", async () => {
      const c = await swarm.node();
      await until("all are connected", () => isConnected(a, c) && isConnected(b, c));
      const own = a.directory.ownAddresses();
      expect(own.length).toBeGreaterThan(0);
      expect(own.every((address) => !address.includes("/p2p/"))).toBe(true);
      const stranger = peerIdOf(randomBytes(32));
      await a.directory.learn(stranger, ["/ip4/192.0.2.7/tcp/4001"]);
      expect(await a.directory.addresses(stranger)).toEqual(["/ip4/192.0.2.7/tcp/4001"]);
      expect(await a.directory.addresses(peerIdOf(randomBytes(32)))).toEqual([]);
      await until("others tell where it is", async () => {
        const found = await b.directory.find(a.network.self);
        return found.includes(must(own[0], "own address"));
      });
      expect(await b.directory.addresses(a.network.self)).toContain(own[0]);
    });

    test("a pool is found by a node that announces nothing, until it is withdrawn", async () => {
      const c = await swarm.node();
      const owner = ownerIdOf(randomBytes(32));
      expect(await c.directory.pool(owner)).toEqual([]);
      await a.directory.announce(owner);
      await b.directory.announce(owner);
      const both = [a.network.self, b.network.self].sort();
      await until(
        "both are found",
        async () => (await c.directory.pool(owner)).sort().join() === both.join(),
      );
      await a.directory.withdraw(owner);
      await a.directory.withdraw(ownerIdOf(randomBytes(32)));
    });
  });
}
