import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { type PeerId, peerIdOf, publicKeyOfPeer } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { convictionBody, DOUBT_EPOCH_MS, DOUBT_KEPT_MS, doubtBody } from "../../src/wire/trust.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// What members sign about each other, spread to all, over simulated networks and disks.

const scratch = scratchDirectories();
const { signal } = new AbortController();
let swarm: Swarm;
let owner: Machine;
let source: string;

afterEach(() => swarm?.stop());

/** The owner is no administrator. */
async function begin(sites: readonly string[] = NINE_AT_THREE): Promise<void> {
  swarm = await Swarm.create({ sites });
  owner = swarm.member(1);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source]));
}

async function aHolder(): Promise<Machine> {
  for (const machine of swarm.members) if (machine !== owner && (await shardsOf(machine)) > 3) return machine;
  throw new Error("nobody holds anything");
}

const shardsOf = async (machine: Machine): Promise<number> =>
  (await machine.node.ports.shards.list(undefined, 10_000)).length;

async function throwAway(holder: Machine): Promise<void> {
  for (const { id } of await holder.node.ports.shards.list(undefined, 10_000))
    await holder.node.ports.shards.delete(id);
}

async function auditAll(): Promise<void> {
  await swarm.clock.during(owner.node.audits.rounds.now(signal));
  await spread();
}

async function spread(): Promise<void> {
  for (let round = 0; round < 4; round++) {
    await swarm.clock.jump(60_000);
    await swarm.settle();
  }
}

const trustOf = (machine: Machine, peer: PeerId) => machine.node.audits.trust.of(peer);
const kindsOf = (peer: PeerId) => swarm.members.map((machine) => trustOf(machine, peer).kind);

function isGivenData(by: Machine, peer: PeerId): boolean {
  return by.node.view.nodes().some((node) => node.peer === peer && !node.suspected);
}

async function denounce(by: Machine, target: PeerId): Promise<void> {
  const timeMs = swarm.clock.wallMs();
  const body = doubtBody.encode({ v: 1, target, timeMs, stands: true, reason: "slander" });
  const { swarm: id } = by.node.roster;
  const epoch = Math.floor(timeMs / DOUBT_EPOCH_MS);
  const statement = { type: "doubt", swarm: id, incarnation: NO_INCARNATION, epoch, body } as const;
  await by.node.records.put(signStatement(statement, by.identity.node));
}

describe("a holder that throws shards away", () => {
  it("is suspect for every node by its own words, with reason, over restarts, and a newcomer hears of it", async () => {
    await begin();
    const holder = await aHolder();
    await throwAway(holder);
    await auditAll();
    for (const machine of swarm.members) {
      expect(trustOf(machine, holder.peer)).toMatchObject({
        kind: "suspect",
        reason: expect.stringContaining("receipts"),
      });
      const { words } = machine.node.audits.trust.standing(holder.peer);
      expect(words.map(({ kind, by }) => [kind, peerIdOf(by)])).toEqual([["conviction", owner.peer]]);
      expect(isGivenData(machine, holder.peer)).toBe(false);
      expect(machine.logged("peer-suspected").length).toBe(1);
    }
    const other = swarm.member(4) === holder ? swarm.member(5) : swarm.member(4);
    other.crash();
    await other.start();
    await swarm.settle();
    expect(trustOf(other, holder.peer).kind).toBe("suspect");
    const newcomer = swarm.newMachine("late", "b");
    await newcomer.join(swarm.member(0));
    swarm.members.push(newcomer);
    await newcomer.start();
    await swarm.settle();
    await spread();
    expect(trustOf(newcomer, holder.peer).kind).toBe("suspect");
  });

  it("is cleared for all by an administrator alone, and what it said before does not convict it again", async () => {
    await begin();
    const holder = await aHolder();
    await throwAway(holder);
    await auditAll();
    expect(await owner.node.audits.clear(holder.peer)).toEqual({ own: true, bySwarm: false });
    await spread();
    expect(trustOf(owner, holder.peer).kind).toBe("suspect");
    const founder = swarm.member(0);
    const key = founder.node.administrators.key();
    expect(await founder.node.audits.clear(holder.peer, key)).toMatchObject({ bySwarm: true });
    await spread();
    expect(new Set(kindsOf(holder.peer))).toEqual(new Set(["trusted"]));
    // Somebody shows the old evidence again, in its own name.
    const shown = must([...owner.node.records.ofType("conviction")][0], "conviction");
    await swarm.clock.jump(2 * HOUR_MS);
    const timeMs = swarm.clock.wallMs();
    const again = { ...convictionBody.decode(shown.body), timeMs };
    const spiteful = swarm.members.find((one) => one !== owner && one !== holder) ?? founder;
    await spiteful.node.records.put(
      signStatement(
        {
          ...{ type: "conviction", swarm: shown.swarm, incarnation: NO_INCARNATION },
          epoch: Math.floor(timeMs / HOUR_MS),
          body: convictionBody.encode(again),
        },
        spiteful.identity.node,
      ),
    );
    await spread();
    expect(new Set(kindsOf(holder.peer))).toEqual(new Set(["trusted"]));
  });

  it("cannot clear itself, nor can a member that is no administrator", async () => {
    await begin(["a", "b", "c", "d"]);
    const holder = await aHolder();
    await throwAway(holder);
    await auditAll();
    const signer = owner.identity.node;
    const timeMs = swarm.clock.wallMs();
    const { swarm: id } = owner.node.roster;
    const put = owner.node.records.put(
      signStatement(
        {
          ...{ type: "clearance", swarm: id, incarnation: NO_INCARNATION },
          epoch: Math.floor(timeMs / DOUBT_EPOCH_MS),
          body: doubtBody.encode({ v: 1, target: holder.peer, timeMs, stands: true, reason: "" }),
        },
        signer,
      ),
    );
    await expect(put).rejects.toMatchObject({ code: "FORMAT_INVALID" });
    expect(publicKeyOfPeer(holder.peer)).toHaveLength(32);
    expect(trustOf(owner, holder.peer).kind).toBe("suspect");
  });
});

describe("members that denounce an honest holder", () => {
  it("alone: nobody acts on it, and everybody's log names who said it", async () => {
    await begin();
    const [target, liar] = [swarm.member(4), swarm.member(8)];
    await denounce(liar, target.peer);
    await spread();
    expect(new Set(kindsOf(target.peer))).toEqual(new Set(["trusted"]));
    for (const machine of swarm.members) {
      expect(isGivenData(machine, target.peer)).toBe(true);
      expect(machine.logged("doubt-heard")[0]?.fields).toMatchObject({ peer: target.peer, by: liar.peer });
    }
  });

  it("together: it is doubted at most, keeps what it has, and a week later all is as it was", async () => {
    await begin();
    const target = await aHolder();
    const before = await shardsOf(target);
    const liars = swarm.members.filter(
      ({ init, peer }) => init.site !== target.init.site && peer !== owner.peer,
    );
    await denounce(must(liars[0], "liar"), target.peer);
    await denounce(must(liars.at(-1), "liar"), target.peer);
    await spread();
    expect(new Set(kindsOf(target.peer))).toEqual(new Set(["doubted"]));
    expect(isGivenData(owner, target.peer)).toBe(false);
    expect(owner.logged("peer-doubted")[0]?.fields["auditors"]).toHaveLength(2);
    // Nothing moves, and its answers count.
    await auditAll();
    expect(owner.node.audits.book.holder(target.peer).proven).toBeGreaterThan(0);
    expect(await shardsOf(target)).toBe(before);
    const to = scratch();
    const { report } = await swarm.clock.during(owner.restore(to));
    expect(report.problems).toEqual([]);
    await expectSameTree(source, to + source);
    await swarm.clock.jump(DOUBT_KEPT_MS);
    for (const machine of swarm.members) machine.node.audits.trust.review();
    expect(new Set(kindsOf(target.peer))).toEqual(new Set(["trusted"]));
    expect(owner.logged("peer-trusted")).toHaveLength(1);
  });
});

describe("a doubt of this node's own", () => {
  it("is said again before it fades, and taken back when somebody clears the holder", async () => {
    await begin(["a", "b", "c", "d"]);
    const holder = await aHolder();
    const { book } = owner.node.audits;
    // Garbled: it convinces whoever got it, and nobody else.
    const suspicion = {
      sinceMs: swarm.clock.wallMs(),
      reason: "it answered with other bytes than it signed",
    };
    await book.write(holder.peer, { ...book.holder(holder.peer), suspicion });
    await spread();
    const said = () =>
      [...swarm.member(0).node.records.ofType("doubt")].map(({ body }) => doubtBody.decode(body));
    expect(said()).toMatchObject([{ target: holder.peer, stands: true, reason: suspicion.reason }]);
    for (let day = 0; day < 9; day++) {
      await swarm.clock.jump(DAY_MS);
      await swarm.settle();
    }
    await spread();
    const nowMs = swarm.clock.wallMs();
    expect(said()[0]?.timeMs ?? 0).toBeGreaterThan(nowMs - DOUBT_KEPT_MS);
    await owner.node.audits.clear(holder.peer);
    await spread();
    expect(said()).toMatchObject([{ stands: false }]);
    expect(trustOf(owner, holder.peer).kind).toBe("trusted");
  });
});
