import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { checkConviction } from "../../src/audit/index.ts";
import { must } from "../../src/base/assert.ts";
import { Fault } from "../../src/base/fault.ts";
import { DAY_MS, MIB } from "../../src/base/units.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { signedGarbage, withStatement } from "../support/audit-lies.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Lie, type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Owners that make holders prove what they hold, over simulated networks and disks.

const scratch = scratchDirectories();
const { signal } = new AbortController();
let swarm: Swarm;
let owner: Machine;
let source: string;

afterEach(() => swarm?.stop());

async function begin(sites: readonly string[] = NINE_AT_THREE): Promise<void> {
  swarm = await Swarm.create({ sites });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source]));
}

/** Slots that name this holder. */
async function heldBy(holder: Machine): Promise<string[]> {
  const held: string[] = [];
  for await (const [ref, record] of owner.node.repository.catalog.segments.all()) {
    record.slots.forEach((slot, index) => {
      if (slot?.peer === holder.peer) held.push(`${ref.number}/${index}`);
    });
  }
  return held;
}

async function aHolder(): Promise<Machine> {
  for (const machine of swarm.members.slice(1)) if ((await heldBy(machine)).length > 2) return machine;
  throw new Error("nobody holds anything");
}

const round = async () =>
  new Map(
    (await swarm.clock.during(owner.node.audits.rounds.now(signal))).map((audit) => [audit.peer, audit]),
  );

async function expectRestores(): Promise<void> {
  const target = scratch();
  const { report } = await swarm.clock.during(owner.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

/** Changes what this machine answers to audits, and nothing else. */
function whenAudited(machine: Machine, lie: Lie): void {
  machine.lie = (asked) => {
    const isAudit = asked.protocol === "data" && dataRequest.decode(asked.message.head).t === "audit";
    return isAudit ? lie(asked) : asked.honest();
  };
}

describe("an audit of honest holders", () => {
  it("proves a leaf of every shard that is held, and verify counts them as proven without asking again", async () => {
    await begin();
    const audits = await round();
    for (const machine of swarm.members.slice(1)) {
      const held = await heldBy(machine);
      const audit = audits.get(machine.peer);
      expect(audit?.proven ?? 0).toBeGreaterThanOrEqual(Math.min(held.length, 172));
      expect(audit).toMatchObject({ denied: 0, wrong: 0, late: 0 });
    }
    // Nobody proves anything from now on.
    for (const machine of swarm.members) {
      machine.lie = async ({ message, honest, protocol }) => {
        const isProof = protocol === "data" && ["get", "audit"].includes(dataRequest.decode(message.head).t);
        if (isProof) throw new Error("no");
        return honest();
      };
    }
    const { repository } = owner.node;
    const options = { readData: false, signal, onShard: () => {} };
    const entries = await repository.snapshots();
    const proven = (await swarm.clock.during(repository.verify(entries, options))).segments;
    expect(proven.every((one) => one.proven === one.n)).toBe(true);
    await swarm.clock.jump(31 * DAY_MS);
    const claimed = (await swarm.clock.during(repository.verify(entries, options))).segments;
    expect(claimed.every((one) => one.proven === 0 && one.claimed === one.n)).toBe(true);
  });

  it("goes round all of them day by day, from where it stopped before a restart", async () => {
    await begin(["a", "b", "c", "d"]);
    const seen: string[] = [];
    const turn = async (): Promise<void> => {
      const audit = await swarm.clock.during(owner.node.audits.rounds.turn(signal));
      if (audit !== undefined) seen.push(audit.peer);
    };
    await turn();
    await owner.stop();
    await owner.start();
    await swarm.settle();
    for (let times = 0; times < 4; times++) await turn();
    expect(seen).toEqual(owner.node.audits.rounds.holders());
    await swarm.clock.jump(DAY_MS);
    await turn();
    expect(seen).toHaveLength(4);
  });

  it("convicts nobody for a clock that is years off or was set back", async () => {
    await begin(["a", "b", "c"]);
    const holder = await aHolder();
    for (const years of [-20, 20]) {
      whenAudited(holder, async ({ honest }) => {
        const answer = await honest();
        return withStatement(holder, answer, (statement) => ({
          ...statement,
          timeMs: statement.timeMs + years * 365 * DAY_MS,
        }));
      });
      expect((await round()).get(holder.peer)).toMatchObject({ denied: 0, wrong: 0, late: 0 });
    }
    expect(owner.node.audits.suspicion(holder.peer)).toBeUndefined();
  });
});

describe("a holder that throws shards away", () => {
  it("is found, convicted by its own signatures, gets no new data, and what it lost does not count", async () => {
    await begin();
    // As many segments as go round all rows of a class: the holder is in some of them, and they stay in use.
    const profile = { k: 2, m: 2 };
    const wide = scratch();
    put(wide, "first", swarm.rng.bytes(3 * MIB));
    await swarm.clock.during(owner.snapshot([wide], { profile }));
    const holder = await aHolder();
    const held = await heldBy(holder);
    for (const { id } of await holder.node.ports.shards.list(undefined, 10_000))
      await holder.node.ports.shards.delete(id);
    const audit = must((await round()).get(holder.peer), "audit");
    expect(audit.denied).toBeGreaterThanOrEqual(held.length);
    expect(audit.proven).toBe(0);
    expect(await heldBy(holder)).toEqual([]);
    expect(owner.node.audits.suspicion(holder.peer)?.reason).toContain("lost");
    const evidence = await owner.node.audits.book.evidence(holder.peer);
    expect(evidence.length).toBeGreaterThan(0);
    for (const one of evidence)
      expect(checkConviction(one, owner.node.roster.swarm)).toMatchObject({
        holder: holder.peer,
        kind: "denied",
      });
    expect(owner.logged("holder-convicted")[0]?.fields).toMatchObject({ peer: holder.peer, kind: "denied" });
    expect(owner.node.view.nodes().find(({ peer }) => peer === holder.peer)?.suspected).toBe(true);
    await swarm.clock.jump(1000);
    put(wide, "second", swarm.rng.bytes(3 * MIB));
    const made = await swarm.clock.during(owner.snapshot([wide, source], { profile }));
    expect(made.segments).toBeGreaterThan(32);
    expect(await heldBy(holder)).toEqual([]);
    await expectRestores();
  }, 180_000);

  it("stays suspect over a restart of the owner, until somebody clears it", async () => {
    await begin();
    const holder = await aHolder();
    for (const { id } of await holder.node.ports.shards.list(undefined, 10_000))
      await holder.node.ports.shards.delete(id);
    await round();
    owner.crash();
    await owner.start();
    await swarm.settle();
    expect(owner.node.audits.suspicion(holder.peer)).toBeDefined();
    const { administrators } = owner.node;
    expect(await owner.node.audits.clear(holder.peer, administrators.key())).toEqual({
      own: true,
      bySwarm: true,
    });
    expect(await owner.node.audits.clear(holder.peer)).toEqual({ own: false, bySwarm: false });
    expect(owner.node.view.nodes().some(({ suspected }) => suspected)).toBe(false);
  });

  it("costs one shard where it lost one: a bad spot on a disk does not make a holder suspect", async () => {
    await begin();
    const holder = await aHolder();
    const before = await heldBy(holder);
    const [first] = await holder.node.ports.shards.list(undefined, 10_000);
    await holder.node.ports.shards.delete(must(first, "shard").id);
    expect((await round()).get(holder.peer)?.denied).toBeGreaterThan(0);
    expect(await heldBy(holder)).toHaveLength(before.length - 1);
    expect(owner.node.audits.suspicion(holder.peer)).toBeUndefined();
    expect(await owner.node.audits.book.evidence(holder.peer)).not.toEqual([]);
  });
});

describe("a holder that returns garbage", () => {
  it("that it signed: is convicted so that anybody can check it", async () => {
    await begin();
    const holder = await aHolder();
    whenAudited(holder, async ({ honest }) => {
      const answer = await honest();
      return signedGarbage(holder, answer);
    });
    const audit = must((await round()).get(holder.peer), "audit");
    expect(audit.wrong).toBe(audit.asked);
    const [evidence] = await owner.node.audits.book.evidence(holder.peer);
    // Somebody else, with nothing but the swarm's id.
    expect(checkConviction(must(evidence, "evidence"), swarm.member(8).node.roster.swarm).kind).toBe("wrong");
    expect(await heldBy(holder)).toEqual([]);
    expect(owner.node.audits.suspicion(holder.peer)?.reason).toContain("signed");
    holder.lie = async () => {
      throw new Error("gone");
    };
    await expectRestores();
  });

  it("that it did not sign: is suspect here, and convinces nobody else", async () => {
    await begin();
    const holder = await aHolder();
    whenAudited(holder, async ({ honest }) => {
      const answer = await honest();
      return { ...answer, body: answer.body.map((byte) => byte ^ 1) };
    });
    expect((await round()).get(holder.peer)?.wrong).toBeGreaterThan(0);
    expect(owner.node.audits.suspicion(holder.peer)).toBeDefined();
    expect(await owner.node.audits.book.evidence(holder.peer)).toEqual([]);
  });

  it("to another question: proves nothing, and is asked the same again", async () => {
    await begin(["a", "b", "c"]);
    const holder = await aHolder();
    whenAudited(holder, async ({ honest }) =>
      withStatement(holder, await honest(), (statement) => ({ ...statement, nonce: new Uint8Array(32) })),
    );
    expect((await round()).get(holder.peer)).toMatchObject({ proven: 0, denied: 0, wrong: 0, late: 32 });
    expect(owner.node.audits.book.holder(holder.peer).problem).toContain("another audit");
  });
});

describe("a holder that is late", () => {
  it("is asked for the very same leaves again, over a restart, and never convicted", async () => {
    await begin();
    const holder = await aHolder();
    const questions: string[] = [];
    let isHung = true;
    whenAudited(holder, async ({ message, honest }) => {
      questions.push(Buffer.from(message.head).toString("hex"));
      if (isHung) throw new Fault({ code: "PEER_TIMEOUT", peer: holder.peer, afterMs: 1 });
      return honest();
    });
    for (let times = 0; times < 3; times++) {
      expect((await round()).get(holder.peer)).toMatchObject({ proven: 0, denied: 0, wrong: 0 });
      owner.crash();
      await owner.start();
      await swarm.settle();
    }
    expect(new Set(questions).size).toBe(1);
    expect(questions).toHaveLength(3);
    isHung = false;
    const audit = must((await round()).get(holder.peer), "audit");
    expect(questions[3]).toBe(questions[0]);
    expect(audit).toMatchObject({ late: 0, denied: 0, wrong: 0, proven: audit.asked });
    const { suspicion, problem, pending } = owner.node.audits.book.holder(holder.peer);
    expect([suspicion, problem, pending]).toEqual([undefined, undefined, undefined]);
  });
});

/** The same answer with something else signed by the holder's own key. */
