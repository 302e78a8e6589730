import { afterEach, describe, expect, test } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { Fault } from "../../src/base/fault.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { nodeStatusCodec } from "../../src/wire/membership.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { silenceBody } from "../../src/wire/silence.ts";
import { syncRequestCodec } from "../../src/wire/sync.ts";
import { packTick } from "../../src/wire/ticks.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

let swarm: Swarm | undefined;

afterEach(async () => {
  await swarm?.stop();
  swarm = undefined;
});

async function swarmOf(sites: readonly string[]): Promise<Swarm> {
  swarm = await Swarm.create({ sites });
  await swarm.clock.advance(10 * MINUTE_MS);
  return swarm;
}

/** What each of these says of a node. */
function statesAt(machines: readonly Machine[], of: Machine): (string | undefined)[] {
  return machines.map(({ node }) => node.presence.nodes().get(of.peer)?.state);
}

function allSay(machines: readonly Machine[], of: Machine, state: string): void {
  expect(statesAt(machines, of)).toEqual(machines.map(() => state));
}

describe("a node that dies", () => {
  test.each([
    ["3 nodes at 3 sites", ["a", "b", "c"]],
    ["5 nodes at 2 sites", ["a", "a", "a", "b", "b"]],
    ["9 nodes at 3 sites", NINE_AT_THREE],
    ["12 nodes at 4 sites", ["a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "d", "d"]],
  ])("of %s is unreachable, then absent for all others, since it fell silent", async (_, sites) => {
    const { members, clock } = await swarmOf(sites);
    const [dead, ...others] = members.toReversed();
    if (dead === undefined) throw new Error("a swarm has members");
    for (const machine of members) allSay(members, machine, "alive");
    const diedMs = clock.wallMs();
    dead.crash();
    await clock.advance(20 * MINUTE_MS);
    allSay(others, dead, "alive");
    await clock.advance(45 * MINUTE_MS);
    allSay(others, dead, "absent");
    for (const { node } of others) {
      const sinceMs = node.presence.nodes().get(dead.peer)?.sinceMs ?? 0;
      expect(Math.abs(sinceMs - diedMs)).toBeLessThan(6 * MINUTE_MS);
      expect(node.presence.witnesses(dead.peer).length).toBeGreaterThanOrEqual(
        Math.min(3, Math.ceil(others.length / 2)),
      );
      expect(node.presence.weather()).toEqual({ kind: "calm" });
    }
    for (const machine of others) expect(machine.logged("node-absent")).toHaveLength(1);
    await dead.start();
    await clock.advance(HOUR_MS);
    for (const machine of members) allSay(members, machine, "alive");
    for (const { node } of members) expect(node.presence.witnesses(dead.peer)).toEqual([]);
  });
});

function cutOff(all: Swarm, some: readonly Machine[], others: readonly Machine[]): void {
  for (const a of some) for (const b of others) all.networks.cut(a.peer, b.peer);
}

function healAll(all: Swarm, some: readonly Machine[], others: readonly Machine[]): void {
  for (const a of some) for (const b of others) all.networks.heal(a.peer, b.peer);
}

describe("a partition", () => {
  test("of one site leaves the rest at work and the site cut off, and heals: all states and records converge", async () => {
    const all = await swarmOf(NINE_AT_THREE);
    const [small, large] = [all.members.slice(6), all.members.slice(0, 6)];
    cutOff(all, small, large);
    await all.clock.advance(2 * HOUR_MS);
    for (const machine of small) allSay(large, machine, "absent");
    for (const { node } of large) expect(node.presence.weather()).toEqual({ kind: "calm" });
    for (const { node } of small)
      expect(node.presence.weather()).toEqual({ kind: "cut-off", seen: 3, of: 9 });
    for (const machine of small) expect(machine.logged("upkeep-cut-off")).toHaveLength(1);
    // Each side says something that the other has not heard.
    await must(small[0], "node").node.announceOutage(HOUR_MS);
    await must(large[0], "node").node.announceOutage(2 * HOUR_MS);
    healAll(all, small, large);
    await all.clock.advance(75 * MINUTE_MS);
    for (const machine of all.members) allSay(all.members, machine, "alive");
    for (const { node } of all.members) expect(node.presence.weather()).toEqual({ kind: "calm" });
    const digests = all.members.map(({ node }) => {
      const view = node.records.view(({ type }) => node.records.rule(type).gossip);
      const digest = toHex(view.items.digest());
      view.close();
      return digest;
    });
    expect(new Set(digests).size).toBe(1);
  });

  test("into two halves freezes or cuts off both, writes nobody off, and heals", async () => {
    const all = await swarmOf(["a", "a", "b", "b", "c", "c", "d", "d"]);
    const [one, other] = [all.members.slice(0, 4), all.members.slice(4)];
    cutOff(all, one, other);
    await all.clock.advance(2 * HOUR_MS);
    for (const { node } of all.members) expect(node.presence.weather().kind).toBe("cut-off");
    healAll(all, one, other);
    await all.clock.advance(75 * MINUTE_MS);
    for (const machine of all.members) allSay(all.members, machine, "alive");
  });

  test("in one direction, or between two nodes alone, makes nobody silent", async () => {
    const all = await swarmOf(["a", "a", "b", "b", "c"]);
    const [mute, deaf, x, y] = all.members.map(({ peer }) => peer);
    all.networks.cut(must(x, "node"), must(y, "node"));
    all.networks.intercept(async ({ from, to }) => {
      if (from !== mute && to !== deaf) return;
      throw new Fault({ code: "PEER_UNREACHABLE", peer: to, reason: "one way only" });
    });
    await all.clock.advance(2 * HOUR_MS);
    for (const machine of all.members) allSay(all.members, machine, "alive");
  });
});

test("a process that hangs is silent, however open its connections are", async () => {
  const all = await swarmOf(["a", "b", "b", "c"]);
  const [hung, ...others] = all.members;
  const { peer } = must(hung, "node");
  all.networks.hang(peer, true);
  all.networks.intercept(async ({ from, to }) => {
    if (from === peer) throw new Fault({ code: "PEER_UNREACHABLE", peer: to, reason: "it sends nothing" });
  });
  await all.clock.advance(75 * MINUTE_MS);
  for (const { node } of others) expect(node.ports.network.connected()).toContain(peer);
  allSay(others, must(hung, "node"), "absent");
});

describe("lies", () => {
  test("a relay that replays, holds back and makes up a dead node's beats gains nothing but a line in the logs", async () => {
    const all = await swarmOf(["a", "a", "b", "b", "c"]);
    const [relay, dead, ...honest] = all.members as [Machine, Machine, ...Machine[]];
    const others = [relay, ...honest];
    const heard: Uint8Array[] = [];
    all.networks.intercept(async ({ from, protocol, message }) => {
      if (from === dead.peer && protocol === "sync") heard.push(message.head);
    });
    await all.clock.advance(30 * MINUTE_MS);
    // Its last beat does not get through to anybody but the relay.
    cutOff(all, [dead], honest);
    await all.clock.advance(6 * MINUTE_MS);
    dead.crash();
    all.networks.intercept(undefined);
    const lie = async (head: Uint8Array): Promise<void> => {
      for (const { peer } of honest) {
        const message = { head, body: new Uint8Array(0) };
        await relay.node.ports.network.request(peer, "sync", message, { idleTimeoutMs: MINUTE_MS });
      }
    };
    const epoch = must(relay.node.records.epochOf(statusKey(dead)), "epoch");
    for (let minute = 0; minute < 80; minute += 5) {
      await all.clock.advance(5 * MINUTE_MS);
      for (const head of heard.slice(-20)) await lie(head);
      const made = packTick(dead.peer, { chain: epoch % 0x10000, index: 200, value: new Uint8Array(16) });
      await lie(syncRequestCodec.encode({ v: 1, kind: "ticks", fresh: true, ticks: made }));
      const forged = forgedStatus(relay, dead, all.clock.wallMs() + minute);
      await lie(syncRequestCodec.encode({ v: 1, kind: "push", news: true, roster: [], records: [forged] }));
    }
    allSay(others, dead, "absent");
    for (const machine of honest) {
      expect(machine.logged("ticks-forged").every(({ fields }) => fields["from"] === relay.peer)).toBe(true);
      expect(machine.logged("ticks-forged").length).toBeGreaterThan(0);
      expect(machine.logged("sync-refused").some(({ fields }) => fields["from"] === relay.peer)).toBe(true);
    }
  });

  test("two that denounce an honest node convince nobody who hears it", async () => {
    const all = await swarmOf(["a", "a", "b", "b", "c", "c"]);
    const [honest, one, two, far] = all.members as [Machine, Machine, Machine, Machine];
    // One that hears it by its beats alone.
    cutOff(all, [honest], [far]);
    for (let round = 0; round < 6; round++) {
      for (const liar of [one, two]) await denounce(liar, honest.peer, all.clock.wallMs());
      await all.clock.advance(20 * MINUTE_MS);
      allSay(all.members, honest, "alive");
    }
    for (const { node } of all.members)
      expect(node.presence.hearings(honest.peer).reports.length).toBeLessThanOrEqual(2);
    expect(far.node.presence.witnesses(honest.peer).length).toBe(2);
  });
});

function statusKey({ identity }: Machine) {
  return { type: "status", signer: identity.node.publicKey } as const;
}

/** The dead node's status with a new time, under the relay's signature. */
function forgedStatus(relay: Machine, dead: Machine, timeMs: number): Uint8Array {
  const status = must(relay.node.records.get(statusKey(dead)), "status");
  const body = nodeStatusCodec.encode({ ...nodeStatusCodec.decode(status.body), timeMs });
  const { type, swarm: swarmId, incarnation } = status;
  const signed = signStatement(
    { type, swarm: swarmId, incarnation, epoch: status.epoch + 1, body },
    relay.identity.node,
  );
  return encodeSigned({ ...signed, signer: dead.identity.node.publicKey });
}

async function denounce({ node, identity }: Machine, target: PeerId, nowMs: number): Promise<void> {
  const body = silenceBody.encode({
    v: 1,
    timeMs: nowMs,
    silent: [{ peer: target, sinceMs: nowMs - HOUR_MS }],
  });
  const key = { type: "silence", signer: identity.node.publicKey } as const;
  const epoch = node.records.nextEpoch(key, nowMs);
  const statement = {
    type: "silence",
    swarm: node.roster.swarm,
    incarnation: NO_INCARNATION,
    epoch,
    body,
  } as const;
  await node.records.put(signStatement(statement, identity.node));
}

describe("a clock that is wrong by an hour", () => {
  test.each([HOUR_MS, -HOUR_MS])(
    "%d ms: changes nothing about who is up, in either direction",
    async (offsetMs) => {
      const all = await swarmOf(["a", "a", "b", "b", "c"]);
      const [wrong, relay, ...others] = all.members as [Machine, Machine, ...Machine[]];
      await wrong.stop();
      wrong.clockOffsetMs = offsetMs;
      await wrong.start();
      // Heard by its beats alone, but for one.
      cutOff(all, [wrong], others);
      for (let round = 0; round < 12; round++) {
        await all.clock.advance(15 * MINUTE_MS);
        for (const machine of all.members) allSay(all.members, machine, "alive");
      }
      const [dying] = others.slice(-1) as [Machine];
      dying.crash();
      await all.clock.advance(75 * MINUTE_MS);
      allSay([wrong, relay, ...others.slice(0, -1)], dying, "absent");
      wrong.crash();
      await all.clock.advance(3 * HOUR_MS);
      allSay([relay, ...others.slice(0, -1)], wrong, "absent");
    },
  );
});

test("a machine that slept accuses nobody when it wakes", async () => {
  const all = await swarmOf(["a", "b", "b", "c"]);
  await all.clock.jump(8 * HOUR_MS);
  for (const machine of all.members) {
    expect(statesAt(all.members, machine).every((state) => state === "alive")).toBe(true);
    expect(machine.logged("presence-resumed").length).toBeGreaterThan(0);
    expect(machine.logged("node-unreachable")).toEqual([]);
  }
  await all.clock.advance(45 * MINUTE_MS);
  for (const machine of all.members) allSay(all.members, machine, "alive");
});
