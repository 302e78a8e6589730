import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { HolderAudit } from "../../src/audit/index.ts";
import { must } from "../../src/base/assert.ts";
import { type ShardId, shardKey } from "../../src/base/ids.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { LOST_SHARDS_MAX, lostBody } from "../../src/wire/losses.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { signedGarbage } from "../support/audit-lies.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Holders that tell what they lost, and holders that audit each other, over simulated networks and disks.

const scratch = scratchDirectories();
const { signal } = new AbortController();
let swarm: Swarm;
let owner: Machine;
let source: string;

afterEach(() => swarm?.stop());

async function begin(sites: readonly string[] = NINE_AT_THREE): Promise<void> {
  swarm = await Swarm.create({ sites });
  owner = swarm.member(1);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source]));
}

const others = (): Machine[] => swarm.members.filter((machine) => machine !== owner);

const idsOf = async (machine: Machine): Promise<ShardId[]> =>
  (await machine.node.ports.shards.list(undefined, 10_000)).map(({ id }) => id);

async function aHolder(): Promise<Machine> {
  for (const machine of others()) if ((await idsOf(machine)).length > 3) return machine;
  throw new Error("nobody holds anything");
}

async function sharing(holder: Machine): Promise<Machine[]> {
  const shared: Machine[] = [];
  for (const machine of others())
    if (machine !== holder && (await machine.node.audits.rounds.everybody()).includes(holder.peer))
      shared.push(machine);
  return shared;
}

async function slotsOf(holder: Machine): Promise<string[]> {
  const held: string[] = [];
  for await (const [ref, record] of owner.node.repository.catalog.segments.all())
    record.slots.forEach((slot, index) => {
      if (slot?.peer === holder.peer) held.push(`${ref.number}/${index}`);
    });
  return held;
}

async function roundOf(auditor: Machine): Promise<Map<string, HolderAudit>> {
  const audits = await swarm.clock.during(auditor.node.audits.rounds.now(signal));
  return new Map(audits.map((audit) => [audit.peer, audit]));
}

async function killOwner(): Promise<void> {
  owner.crash();
  await swarm.settle();
}

describe("a holder whose scrub sets shards aside", () => {
  it("tells the owner, whose receipts count no more, and the holders of the same rows, without any audit", async () => {
    await begin();
    const holder = await aHolder();
    const before = await slotsOf(holder);
    const ids = await idsOf(holder);
    const lost = ids.slice(0, 2);
    for (const id of lost) holder.shardDisk.flipBit(id, swarm.rng);
    await swarm.clock.during(holder.node.scrub.now(signal, () => {}));
    // The daemon does so by itself a few seconds later.
    await swarm.clock.jump(60_000);
    await swarm.settle();
    expect(holder.logged("losses-told").length).toBeGreaterThan(1);
    const told = owner.logged("shard-lost-by-holder").map(({ fields }) => fields["shard"]);
    expect(told.sort()).toEqual(lost.map(shardKey).sort());
    expect(await slotsOf(holder)).toHaveLength(before.length - 2);
    for (const id of lost) expect(owner.node.losses.lost.of(id, holder.peer)).toBeDefined();
    const [sharer] = await sharing(holder);
    const { lost: known } = must(sharer, "holder of the same rows").node.losses;
    expect(lost.some((id) => known.of(id, holder.peer) !== undefined)).toBe(true);
    // It said so itself: nobody holds it against it.
    for (const machine of swarm.members)
      expect(machine.node.audits.trust.of(holder.peer).kind).toBe("trusted");
    expect((await roundOf(owner)).get(holder.peer)).toMatchObject({ denied: 0, wrong: 0 });
  });

  it("tells each once, again after a restart, and those who come back later", async () => {
    await begin(["a", "b", "c", "d"]);
    const holder = await aHolder();
    const [first] = await idsOf(holder);
    const id = must(first, "shard");
    holder.shardDisk.flipBit(id, swarm.rng);
    owner.crash();
    await swarm.settle();
    await swarm.clock.during(holder.node.scrub.now(signal, () => {}));
    const tell = () => swarm.clock.during(holder.node.losses.teller.tell(signal));
    expect((await tell()).peers).toBe(2);
    expect(await tell()).toEqual({ shards: 0, peers: 0 });
    await owner.start();
    await swarm.settle();
    expect(await tell()).toEqual({ shards: 1, peers: 1 });
    expect(owner.node.losses.lost.of(id, holder.peer)).toBeDefined();
    holder.crash();
    await holder.start();
    await swarm.settle();
    expect((await tell()).peers).toBe(3);
    const known = owner.node.losses.lost;
    expect(known.countOf(holder.peer)).toBe(1);
    owner.crash();
    await owner.start();
    await swarm.settle();
    expect(owner.node.losses.lost.countOf(holder.peer)).toBe(1);
  });

  it("cannot say so of others' shards, in others' names, or without end", async () => {
    await begin(["a", "b", "c", "d"]);
    const holder = await aHolder();
    const victim = must(
      others().find((machine) => machine !== holder),
      "other holder",
    );
    const { swarm: id } = holder.node.roster;
    const say = async (shards: readonly ShardId[], by = holder, timeMs = swarm.clock.wallMs()) => {
      const { owner: of, incarnation } = must(shards[0], "shard");
      const list = shards.map(({ number, index }): [number, number] => [number, index]);
      const body = lostBody.encode({ v: 1, owner: of, incarnation, timeMs, shards: list });
      const statement = {
        type: "lost",
        swarm: id,
        incarnation: NO_INCARNATION,
        epoch: timeMs,
        body,
      } as const;
      const notice = encodeSigned(signStatement(statement, by.identity.node));
      const message = { head: dataRequest.encode({ t: "lost", v: 1, notice }), body: new Uint8Array(0) };
      const reply = await holder.node.ports.network.request(owner.peer, "data", message, {
        idleTimeoutMs: 1000,
      });
      return dataAnswer.decode(reply.head);
    };
    const ofVictim = await idsOf(victim);
    expect(await say(ofVictim)).toMatchObject({ t: "noted", noted: 0 });
    expect(await say(ofVictim, victim)).toMatchObject({ t: "refused", refusal: "invalid" });
    expect(await say(await idsOf(holder), holder, swarm.clock.wallMs() + 3_600_000)).toMatchObject({
      t: "refused",
    });
    expect(owner.node.losses.lost.size).toBe(0);
    const [any] = await idsOf(holder);
    const { incarnation, number, index, owner: of } = must(any, "shard");
    const made = Array.from({ length: LOST_SHARDS_MAX }, (_, i) => ({
      owner: of,
      incarnation,
      number: number + 1_000_000 + i,
      index,
    }));
    const answers: string[] = [];
    for (let i = 0; i < 80; i++) answers.push((await say(made)).t);
    expect(answers.filter((t) => t === "refused").length).toBeGreaterThan(10);
    expect(owner.node.losses.lost.size).toBe(0);
  });
});

describe("holders that audit each other", () => {
  it("prove what they hold, with the owner dead, and within a small part of the budget", async () => {
    await begin();
    await killOwner();
    const holder = await aHolder();
    const auditors = await sharing(holder);
    expect(auditors.length).toBeGreaterThan(1);
    for (const auditor of auditors) {
      const audit = must((await roundOf(auditor)).get(holder.peer), "audit");
      expect(audit).toMatchObject({ denied: 0, wrong: 0, late: 0 });
      expect(audit.proven).toBeGreaterThan(0);
      expect(audit.asked).toBeLessThanOrEqual(64);
    }
  });

  it("find out who threw shards away, with the owner dead; nobody is convicted by a map alone", async () => {
    await begin();
    const holder = await aHolder();
    const ids = await idsOf(holder);
    await killOwner();
    const [auditor] = await sharing(holder);
    const { node } = must(auditor, "auditor");
    for (const id of ids) await holder.node.ports.shards.delete(id);
    const audit = must((await roundOf(must(auditor, "auditor"))).get(holder.peer), "audit");
    expect(audit.denied).toBeGreaterThan(0);
    expect(audit.proven).toBe(0);
    expect(node.losses.lost.countOf(holder.peer)).toBeGreaterThan(0);
    expect(ids.some((id) => node.losses.lost.of(id, holder.peer) !== undefined)).toBe(true);
    expect(node.audits.trust.of(holder.peer).kind).toBe("trusted");
    must(auditor, "auditor").crash();
    await must(auditor, "auditor").start();
    expect(must(auditor, "auditor").node.losses.lost.countOf(holder.peer)).toBeGreaterThan(0);
  });

  it("convict whoever signs garbage, for all to see, with the owner dead; data is safe", async () => {
    await begin();
    const holder = await aHolder();
    holder.lie = async ({ protocol, message, honest }) => {
      const answer = await honest();
      if (protocol !== "data" || dataRequest.decode(message.head).t !== "audit") return answer;
      return signedGarbage(holder, answer);
    };
    await killOwner();
    const [auditor] = await sharing(holder);
    const audit = must((await roundOf(must(auditor, "auditor"))).get(holder.peer), "audit");
    expect(audit.wrong).toBeGreaterThan(0);
    await swarm.clock.jump(60_000);
    await swarm.settle();
    for (const machine of others()) expect(machine.node.audits.trust.of(holder.peer).kind).toBe("suspect");
    await owner.start();
    await swarm.settle();
    const to = scratch();
    const { report } = await swarm.clock.during(owner.restore(to));
    expect(report.problems).toEqual([]);
    await expectSameTree(source, to + source);
  });

  it("ask for the very same leaves again where nobody answered, over a restart", async () => {
    await begin();
    const holder = await aHolder();
    const asked: string[] = [];
    await killOwner();
    const auditor = must((await sharing(holder))[0], "auditor");
    holder.lie = async ({ protocol, from, message, honest }) => {
      if (protocol !== "data" || from !== auditor.peer) return honest();
      const request = dataRequest.decode(message.head);
      if (request.t !== "audit") return honest();
      asked.push(Buffer.from(message.head).toString("hex"));
      if (asked.length <= 2) throw new Error("silent");
      return honest();
    };
    expect((await roundOf(auditor)).get(holder.peer)).toMatchObject({ proven: 0, denied: 0 });
    auditor.crash();
    await auditor.start();
    await swarm.settle();
    await roundOf(auditor);
    expect((await roundOf(auditor)).get(holder.peer)?.proven).toBeGreaterThan(0);
    expect(asked[1]).toBe(asked[0]);
    expect(asked[2]).toBe(asked[0]);
    expect(auditor.node.audits.trust.of(holder.peer).kind).toBe("trusted");
  });
});

describe("a holder whose disk was unplugged", () => {
  it("answers no audit, neither the owner's nor another holder's, loses nothing by it, and is asked again", async () => {
    await begin();
    const holder = await aHolder();
    const before = await slotsOf(holder);
    const auditor = must((await sharing(holder))[0], "auditor");
    holder.shardDisk.pulledOut = "unplugged";
    for (const machine of [owner, auditor]) {
      const audit = must((await roundOf(machine)).get(holder.peer), "audit");
      expect(audit).toMatchObject({ proven: 0, denied: 0, wrong: 0 });
      expect(audit.late).toBeGreaterThan(0);
      expect(machine.node.losses.lost.countOf(holder.peer)).toBe(0);
    }
    expect(await slotsOf(holder)).toHaveLength(before.length);
    holder.shardDisk.pulledOut = undefined;
    await swarm.clock.during(holder.node.watch.look());
    expect((await roundOf(owner)).get(holder.peer)).toMatchObject({ denied: 0, wrong: 0, late: 0 });
    expect(owner.node.audits.trust.of(holder.peer).kind).toBe("trusted");
  });
});

describe("a member that fetches from others what it answers audits with", () => {
  it("is refused and named by those whom it asks for shards, and gets few leaves out of audits", async () => {
    await begin();
    const holder = await aHolder();
    const cheat = must((await sharing(holder))[0], "cheat");
    const [id] = await idsOf(holder);
    const { owner: of, incarnation, number, index } = must(id, "shard");
    const ask = async (request: Parameters<typeof dataRequest.encode>[0]) => {
      const message = { head: dataRequest.encode(request), body: new Uint8Array(0) };
      const { network } = cheat.node.ports;
      const reply = await network.request(holder.peer, "data", message, { idleTimeoutMs: 1000 });
      return dataAnswer.decode(reply.head);
    };
    const get = { t: "get", v: 1, owner: of, incarnation, number, index, offset: 0, length: 0 } as const;
    expect(await ask(get)).toMatchObject({ t: "refused", refusal: "not-allowed" });
    expect(holder.logged("foreign-shard-refused")[0]?.fields).toMatchObject({ from: cheat.peer, owner: of });
    const shared = must(
      (await cheat.node.audits.rounds.everybody()).includes(holder.peer) ? id : undefined,
      "row",
    );
    const root = new Uint8Array(32);
    const challenges = Array.from({ length: 64 }, (_, leaf) => ({
      incarnation: shared.incarnation,
      number: shared.number,
      index: shared.index,
      root,
      leaf,
    }));
    const answers: string[] = [];
    for (let i = 0; i < 8; i++)
      answers.push((await ask({ t: "audit", v: 1, owner: of, nonce: new Uint8Array(32), challenges })).t);
    expect(answers.filter((t) => t === "audit").length).toBeLessThanOrEqual(4);
    expect(answers.at(-1)).toBe("refused");
    expect(holder.logged("audit-refused")[0]?.fields).toMatchObject({ from: cheat.peer });
  });

  it("of rows that it is no part of, gets no leaf at all", async () => {
    await begin();
    const holder = await aHolder();
    const stranger = swarm.newMachine("stranger", "b");
    await stranger.join(swarm.member(0));
    swarm.members.push(stranger);
    await stranger.start();
    await swarm.settle();
    const [id] = await idsOf(holder);
    const { owner: of, incarnation, number, index } = must(id, "shard");
    const challenges = [{ incarnation, number, index, root: new Uint8Array(32), leaf: 0 }];
    const head = dataRequest.encode({ t: "audit", v: 1, owner: of, nonce: new Uint8Array(32), challenges });
    const reply = await stranger.node.ports.network.request(
      holder.peer,
      "data",
      { head, body: new Uint8Array(0) },
      { idleTimeoutMs: 1000 },
    );
    expect(dataAnswer.decode(reply.head)).toMatchObject({ t: "refused", refusal: "not-allowed" });
    expect(holder.logged("audit-refused")[0]?.fields).toMatchObject({ from: stranger.peer });
  });
});
