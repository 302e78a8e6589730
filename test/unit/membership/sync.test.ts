import { decode, encode } from "cborg";
import { afterEach, describe, expect, it } from "vitest";
import type { PeerId } from "../../../src/base/ids.ts";
import type { Log } from "../../../src/base/log.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { HOUR_MS, SECOND_MS } from "../../../src/base/units.ts";
import { NO_INCARNATION, type Signed, signStatement } from "../../../src/crypto/signed.ts";
import { certifyAnew, invite, removeMember } from "../../../src/membership/administer.ts";
import { RecordStore } from "../../../src/membership/records.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { SyncService } from "../../../src/membership/sync.ts";
import { nodeStatusCodec } from "../../../src/wire/membership.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import { syncAnswerCodec, syncRequestCodec } from "../../../src/wire/sync.ts";
import { delegated } from "./entries.ts";
import { type Keys, keysOf, MemoryNet, MemoryStore, newSwarm, settle, signer, testRng } from "./world.ts";

interface Node {
  readonly keys: Keys;
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly sync: SyncService;
  readonly learnt: Map<PeerId, readonly string[]>;
  readonly warnings: string[];
}

const running: SyncService[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((sync) => sync.stop()));
});

/** A swarm of nodes that all know all of them, connected each with each. */
async function swarmOf(count: number) {
  const swarm = await newSwarm();
  const net = new MemoryNet();
  const invitation = invite(swarm, {
    administrators: swarm.administrators,
    site: "beta",
    expiresInMs: HOUR_MS,
    uses: 200,
    addresses: [],
  });
  const entries: Uint8Array[] = [swarm.certificate.bytes];
  const keys = [swarm.keys];
  for (let i = 1; i < count; i++) {
    const own = keysOf(`node ${i}`);
    keys.push(own);
    entries.push(...delegated(swarm, invitation, i, own).map((entry) => entry.bytes));
  }
  const start = async (own: Keys): Promise<Node> => {
    const store = new MemoryStore();
    const roster = await Roster.create(
      { store, clock: swarm.clock },
      { genesis: swarm.genesis.bytes, entries },
    );
    const warnings: string[] = [];
    const log: Log = { ...SILENT_LOG, warn: (event) => void warnings.push(event) };
    const records = await RecordStore.open({ store, roster, log });
    const learnt = new Map<PeerId, readonly string[]>();
    const directory = {
      learn: async (peer: PeerId, addresses: readonly string[]) => void learnt.set(peer, addresses),
    };
    const network = net.end(own.peer, (peer) => roster.roleOf(peer));
    const rng = testRng(own.peer);
    const sync = new SyncService({ network, roster, records, directory, clock: swarm.clock, rng, log });
    sync.start();
    running.push(sync);
    return { keys: own, roster, records, sync, learnt, warnings };
  };
  const nodes: Node[] = [];
  for (const own of keys) nodes.push(await start(own));
  await settle();
  return { ...swarm, net, nodes, invitation, start };
}

function statusOf(node: Node, epoch: number, usedBytes = 0): Signed {
  const body = nodeStatusCodec.encode({
    v: 1,
    addresses: [`/ip4/10.0.0.${epoch % 256}/tcp/4001`],
    capacityBytes: 1e9,
    usedBytes,
    freeBytes: 1e9 - usedBytes,
    formatVersions: { reads: [1], writes: 1 },
    programVersion: "0.1.0",
    timeMs: epoch * 1000,
  });
  const statement = {
    type: "status" as const,
    swarm: node.roster.swarm,
    incarnation: NO_INCARNATION,
    epoch,
    body,
  };
  return signStatement(statement, node.keys.node);
}

function part(net: MemoryNet, left: readonly Node[], right: readonly Node[], open: boolean): void {
  for (const a of left) for (const b of right) net.setLink(a.keys.peer, b.keys.peer, open);
}

const digests = (nodes: readonly Node[]) =>
  new Set(nodes.map(({ roster }) => Buffer.from(roster.digest()).toString("hex")));

const statusEpochs = (node: Node, of: readonly Node[]) =>
  of.map((other) => node.records.epochOf({ type: "status", signer: other.keys.node.publicKey }));

const at = <T>(list: readonly T[], index: number): T => {
  const item = list[index];
  if (item === undefined) throw new Error("no such item");
  return item;
};

describe("news", () => {
  it("reaches every connected member at once, without a comparison", async () => {
    const { nodes, invitation } = await swarmOf(5);
    await at(nodes, 0).roster.applyAll(invitation.delegations.slice(10, 12));
    await at(nodes, 1).records.put(statusOf(at(nodes, 1), 7));
    await settle();
    expect(digests(nodes).size).toBe(1);
    for (const node of nodes) expect(statusEpochs(node, [at(nodes, 1)])).toEqual([7]);
    expect(at(nodes, 3).learnt.get(at(nodes, 1).keys.peer)).toEqual(["/ip4/10.0.0.7/tcp/4001"]);
  });

  it("brings a certificate together with the delegation that it uses", async () => {
    const { nodes, invitation, ...swarm } = await swarmOf(3);
    const own = keysOf("newcomer");
    await at(nodes, 2).roster.applyAll(delegated(swarm, invitation, 50, own));
    await settle();
    for (const node of nodes) expect(node.roster.roleOf(own.peer)).toBe("member");
  });
});

describe("news of a newcomer", () => {
  it("goes to every connected member by who lets it in, however many there are", async () => {
    const { nodes, invitation, net, ...swarm } = await swarmOf(20);
    const first = at(nodes, 0);
    const told = new Set<PeerId>();
    net.observe = (from, to) => void (from === first.keys.peer && told.add(to));
    await first.roster.applyAll(delegated(swarm, invitation, 50, keysOf("newcomer")));
    await settle();
    expect(told.size).toBe(19);
  });

  it("is passed on by who learnt it from a comparison", async () => {
    const { nodes, invitation, net, ...swarm } = await swarmOf(4);
    const [admits, between, ...others] = nodes;
    if (admits === undefined || between === undefined) throw new Error("four nodes");
    part(net, [admits], [between, ...others], false);
    const own = keysOf("newcomer");
    await admits.roster.applyAll(delegated(swarm, invitation, 50, own));
    await settle();
    part(net, [admits], [between], true);
    await settle();
    for (const node of nodes) expect(node.roster.roleOf(own.peer)).toBe("member");
  });

  it("is pushed at the newcomer's word to a member that has missed it", async () => {
    const { nodes, invitation, net, start, ...swarm } = await swarmOf(3);
    const [admits, , misses] = nodes;
    if (admits === undefined || misses === undefined) throw new Error("three nodes");
    const [admitting, deaf] = [net.ends.get(admits.keys.peer), net.ends.get(misses.keys.peer)];
    if (admitting === undefined || deaf === undefined) throw new Error("their ends");
    deaf.isDeaf = true;
    const own = keysOf("newcomer");
    await admits.roster.applyAll(delegated(swarm, invitation, 50, own));
    const newcomer = await start(own);
    await newcomer.roster.applyAll(delegated(swarm, invitation, 50, own));
    await newcomer.records.put(statusOf(newcomer, 9));
    await settle();
    const end = net.ends.get(own.peer);
    end?.refusedBy(misses.keys.peer);
    await settle();
    expect(misses.roster.roleOf(own.peer)).toBe("stranger");

    deaf.isDeaf = false;
    end?.refusedBy(misses.keys.peer);
    await settle();
    // Not again so soon: a member that is dialled in vain every moment must not keep the others busy.
    expect(misses.roster.roleOf(own.peer)).toBe("stranger");
    await swarm.clock.advance(3 * SECOND_MS);
    const dialled: PeerId[] = [];
    net.observe = (from, to) => void (from === own.peer && dialled.push(to));
    end?.refusedBy(misses.keys.peer);
    await settle();
    expect(misses.roster.roleOf(own.peer)).toBe("member");
    expect(misses.learnt.get(own.peer)).toEqual(["/ip4/10.0.0.9/tcp/4001"]);
    // And then it is dialled without waiting for a turn.
    expect(dialled.at(-1)).toBe(misses.keys.peer);
  });

  it("is not pushed for who is no member, nor to a member that is away", async () => {
    const { nodes, net } = await swarmOf(3);
    const [one, two, away] = nodes;
    if (one === undefined || two === undefined || away === undefined) throw new Error("three nodes");
    part(net, [one, two], [away], false);
    const ask = async (to: PeerId) => {
      const head = syncRequestCodec.encode({ v: 1, kind: "introduce", to });
      const message = { head, body: new Uint8Array(0) };
      return syncAnswerCodec.decode(
        (await net.ends.get(one.keys.peer)?.serve(two.keys.peer, "sync", message))?.head ?? head,
      );
    };
    expect(await ask(away.keys.peer)).toEqual({ v: 1, kind: "introduced", done: false });
    expect(await ask(keysOf("nobody").peer)).toEqual({ v: 1, kind: "introduced", done: false });
    part(net, [one], [away], true);
    await settle();
    expect(await ask(away.keys.peer)).toEqual({ v: 1, kind: "introduced", done: true });
  });
});

describe("news from a newer version", () => {
  it("is refused thing by thing: what is known of the same message is taken", async () => {
    const { nodes, net } = await swarmOf(2);
    const [newer, node] = [at(nodes, 0), at(nodes, 1)];
    const known = statusOf(newer, 7);
    const unknown = Buffer.from(encodeSigned(known));
    // A record of a type that is yet to be invented.
    unknown.write("sTATUS", unknown.indexOf("status"));
    const body = decode(known.body);
    const more = { ...(typeof body === "object" ? body : {}), invented: true };
    const later = signStatement({ ...known, type: "status", epoch: 8, body: encode(more) }, newer.keys.node);
    const records = [unknown, encodeSigned(known), encodeSigned(later)];
    const head = syncRequestCodec.encode({ v: 1, kind: "push", news: false, roster: [unknown], records });
    const message = { head, body: new Uint8Array(0) };
    const answer = await net.ends.get(node.keys.peer)?.serve(newer.keys.peer, "sync", message);
    expect(syncAnswerCodec.decode(answer?.head ?? head)).toMatchObject({
      kind: "taken",
      added: 2,
      refused: 2,
    });
    expect(statusEpochs(node, [newer])).toEqual([8]);
    expect(node.learnt.get(newer.keys.peer)).toEqual(["/ip4/10.0.0.7/tcp/4001"]);
  });
});

describe("comparing", () => {
  it("costs one small exchange when both hold the same", async () => {
    const { nodes, net, clock } = await swarmOf(3);
    await clock.advance(60 * SECOND_MS);
    net.requests = 0;
    net.bytes = 0;
    await at(nodes, 0).sync.syncWith(at(nodes, 1).keys.peer);
    expect(net.requests).toBe(1);
    expect(net.bytes).toBeLessThan(300);
  });

  it("brings the two sides of a partition together after it heals", async () => {
    const { nodes, net, clock, invitation, administrators, rng } = await swarmOf(6);
    const [left, right] = [nodes.slice(0, 3), nodes.slice(3)];
    part(net, left, right, false);
    const [a, b] = [at(left, 1), at(right, 1)];
    const swarm = { roster: a.roster, clock, rng };
    await a.roster.applyAll(invitation.delegations.slice(20, 30));
    await a.roster.apply(
      removeMember(swarm, {
        administrators: [...administrators],
        member: at(a.roster.members(), 5),
        reason: "burnt",
      }),
    );
    await b.roster.applyAll(
      delegated({ ...swarm, swarm: b.roster.swarm }, invitation, 40, keysOf("right newcomer")),
    );
    for (const [index, node] of nodes.entries()) await node.records.put(statusOf(node, 100 + index));
    await settle();
    expect(digests(nodes).size).toBe(2);
    part(net, left, right, true);
    await clock.advance(5 * 60 * SECOND_MS);
    expect(digests(nodes).size).toBe(1);
    for (const node of nodes) expect(statusEpochs(node, nodes)).toEqual([100, 101, 102, 103, 104, 105]);
  });

  it("goes through many pages", async () => {
    const { nodes, net, administrators, clock, rng } = await swarmOf(2);
    const [a, b] = [at(nodes, 0), at(nodes, 1)];
    part(net, [a], [b], false);
    const member = at(a.roster.members(), 0);
    const many = Array.from({ length: 1200 }, (_, i) =>
      certifyAnew(
        { roster: a.roster, clock, rng },
        { administrators, member, changes: { name: `name ${i}` } },
      ),
    );
    await a.roster.applyAll(many);
    part(net, [a], [b], true);
    await settle(200);
    expect(b.roster.digest()).toEqual(a.roster.digest());
  });

  it("does not tell everybody what it brought: that is old news", async () => {
    const { nodes, net, administrators, clock, rng } = await swarmOf(4);
    const [late, ...others] = nodes;
    if (late === undefined) throw new Error("no nodes");
    part(net, [late], others, false);
    const { roster } = at(others, 0);
    const member = at(roster.members(), 0);
    const init = { administrators, member, changes: { name: "renamed" } };
    await roster.apply(certifyAnew({ roster, clock, rng }, init));
    await settle();
    const pushes: PeerId[] = [];
    net.observe = (from, _, { head }) => {
      if (syncRequestCodec.decode(head).kind === "push") pushes.push(from);
    };
    part(net, [late], others, true);
    await clock.advance(60 * SECOND_MS);
    expect(late.roster.digest()).toEqual(roster.digest());
    expect(pushes.filter((from) => from === late.keys.peer)).toEqual([]);
  });

  it("lets the lower hash win where both sides of a partition used one token", async () => {
    const { nodes, net, invitation, ...swarm } = await swarmOf(2);
    const [a, b] = [at(nodes, 0), at(nodes, 1)];
    part(net, [a], [b], false);
    await a.roster.applyAll(delegated(swarm, invitation, 60, keysOf("x")));
    await b.roster.applyAll(delegated(swarm, invitation, 60, keysOf("y")));
    part(net, [a], [b], true);
    await settle(60);
    expect(b.roster.digest()).toEqual(a.roster.digest());
    expect(a.roster.members()).toHaveLength(3);
    expect(a.roster.members()).toEqual(b.roster.members());
  });
});

describe("a member that sends nonsense", () => {
  const liar = signer("liar");

  it("is answered, logged, and changes nothing", async () => {
    const { nodes, net } = await swarmOf(3);
    const [victim, bad] = [at(nodes, 0), at(nodes, 1)];
    await victim.records.put(statusOf(victim, 50));
    const before = victim.roster.digest();
    const end = net.ends.get(bad.keys.peer);
    const send = async (head: Uint8Array) => {
      const answer = await end?.request(victim.keys.peer, "sync", { head, body: new Uint8Array(0) });
      return syncAnswerCodec.decode(answer?.head ?? new Uint8Array(0));
    };
    expect((await send(Uint8Array.of(1, 2, 3))).kind).toBe("refused");
    const forged = { ...statusOf(victim, 60), signature: new Uint8Array(64) };
    const foreign = signStatement({ ...statusOf(victim, 60) }, liar);
    const head = signStatement({ ...statusOf(victim, 1), type: "head" }, victim.keys.owner);
    const records = [forged, foreign, statusOf(victim, 3), head].map(encodeSigned);
    const roster = [Uint8Array.of(9), new Uint8Array(100)];
    const answer = await send(syncRequestCodec.encode({ v: 1, kind: "push", news: true, roster, records }));
    expect(answer).toMatchObject({ kind: "taken", added: 0, refused: 6 });
    expect(victim.records.epochOf({ type: "status", signer: victim.keys.node.publicKey })).toBe(50);
    expect(victim.records.epochOf({ type: "head", signer: victim.keys.owner.publicKey })).toBeUndefined();
    expect(victim.roster.digest()).toEqual(before);
    expect(victim.warnings).toContain("sync-refused");
  });

  it("does not stop our comparisons with others, whatever it answers", async () => {
    const { nodes, net, clock } = await swarmOf(3);
    const [victim, bad, good] = [at(nodes, 0), at(nodes, 1), at(nodes, 2)];
    const answers = [
      new Uint8Array(0),
      Uint8Array.of(0xff),
      syncAnswerCodec.encode({ v: 1, kind: "listed", items: [], more: true }),
      syncAnswerCodec.encode({ v: 1, kind: "compared", roster: new Uint8Array(4096) }),
    ];
    let turn = 0;
    net.ends.get(bad.keys.peer)?.handle("sync", async () => ({
      head: at(answers, turn++ % answers.length),
      body: new Uint8Array(0),
    }));
    part(net, [victim], [good], false);
    await good.records.put(statusOf(good, 9));
    part(net, [victim], [good], true);
    await clock.advance(10 * 60 * SECOND_MS);
    expect(turn).toBeGreaterThan(4);
    expect(statusEpochs(victim, [good])).toEqual([9]);
  });
});
