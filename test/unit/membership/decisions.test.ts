import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { toHex } from "../../../src/base/bytes.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { certifyAnew, endorse, invite, removeMember, withdraw } from "../../../src/membership/administer.ts";
import {
  signAdministrators,
  signCertificate,
  signEndorsement,
  signRemoval,
} from "../../../src/membership/entry.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { changeAdministrators } from "../../../src/membership/succession.ts";
import type { Member } from "../../../src/membership/view.ts";
import { delegated } from "./entries.ts";
import { faultFrom, keysOf, MemoryStore, newSwarm, signer } from "./world.ts";

const [p, q] = [signer("p"), signer("q")];

async function swarmOfTwo() {
  const swarm = await newSwarm({ administrators: [p, q] });
  const init = { site: "beta", expiresInMs: HOUR_MS, uses: 1, addresses: [] };
  const invitation = invite(swarm, { administrators: [p], ...init });
  const keys = keysOf("second");
  await swarm.roster.applyAll(delegated(swarm, invitation, 0, keys));
  const member = must(swarm.roster.member(keys.peer), "second");
  return { ...swarm, keys, member, isMember: () => swarm.roster.member(keys.peer) !== undefined };
}

describe("a second administrator's word", () => {
  it("puts a removal into effect at once, and on nodes that hear it in the other order too", async () => {
    const swarm = await swarmOfTwo();
    const removal = removeMember(swarm, { administrators: [p], member: swarm.member, reason: "lost" });
    const word = endorse(swarm, { administrator: q, entries: [removal] });
    const other = await Roster.create(
      { store: new MemoryStore(), clock: swarm.clock },
      { genesis: swarm.roster.genesisBytes, entries: swarm.roster.entries() },
    );
    await swarm.roster.apply(removal);
    expect(swarm.isMember()).toBe(true);
    expect(swarm.roster.pending()).toMatchObject([
      { kind: "removal", reason: "lost", signatures: 1, effectiveMs: swarm.clock.wallMs() + DAY_MS },
    ]);
    await swarm.roster.apply(word);
    expect(swarm.isMember()).toBe(false);
    expect(swarm.roster.pending()).toEqual([]);
    await other.applyAll([word, removal]);
    expect(other.member(swarm.keys.peer)).toBeUndefined();
    expect(other.digest()).toEqual(swarm.roster.digest());
    const reopened = must(await Roster.open(swarm), "roster");
    expect(reopened.member(swarm.keys.peer)).toBeUndefined();
  });

  it("counts as a removal of its own, and one administrator twice does not", async () => {
    const swarm = await swarmOfTwo();
    const remove = (administrator: typeof p) =>
      removeMember(swarm, { administrators: [administrator], member: swarm.member, reason: "" });
    await swarm.roster.apply(remove(p));
    await swarm.clock.advance(1);
    await swarm.roster.apply(remove(p));
    expect(swarm.isMember()).toBe(true);
    await swarm.clock.advance(1);
    await swarm.roster.apply(remove(q));
    expect(swarm.isMember()).toBe(false);
  });

  it("is refused from anybody else, and under another's name", async () => {
    const swarm = await swarmOfTwo();
    const removal = removeMember(swarm, { administrators: [p], member: swarm.member, reason: "" });
    await swarm.roster.apply(removal);
    const stranger = endorse(swarm, { administrator: signer("thief"), entries: [removal] });
    const refused = await faultFrom(() => swarm.roster.apply(stranger));
    expect(refused.message).toContain("no administrator's");
    const body = { v: 1 as const, set: 0, entries: [removal.hash], issuedMs: 1 };
    const borrowed = signEndorsement(swarm.swarm, body, { ...signer("thief"), publicKey: q.publicKey });
    const forged = await faultFrom(() => swarm.roster.apply(borrowed));
    expect(forged.code).toBe("SIGNATURE_INVALID");
    expect(swarm.isMember()).toBe(true);
  });

  it("moves a node at once", async () => {
    const swarm = await swarmOfTwo();
    const { member, roster } = swarm;
    const move = certifyAnew(swarm, { administrators: [p], member, changes: { site: "gamma" } });
    await roster.apply(move);
    expect(roster.pending()).toMatchObject([{ kind: "site-move", from: "beta", to: "gamma" }]);
    await roster.apply(endorse(swarm, { administrator: q, entries: [move] }));
    expect(roster.member(swarm.keys.peer)?.site).toBe("gamma");
  });
});

describe("what waits", () => {
  it("can be taken back, and then never counts", async () => {
    const swarm = await swarmOfTwo();
    const { member, roster } = swarm;
    const removal = removeMember(swarm, { administrators: [p], member, reason: "" });
    const move = certifyAnew(swarm, { administrators: [p], member, changes: { site: "gamma" } });
    await roster.applyAll([removal, move]);
    expect(roster.pending()).toHaveLength(2);
    await roster.applyAll(
      [removal, move].map(({ hash }) => withdraw(swarm, { administrators: [q], entry: hash })),
    );
    expect(roster.pending()).toEqual([]);
    await swarm.clock.advance(3 * DAY_MS);
    expect(roster.member(swarm.keys.peer)?.site).toBe("beta");
  });

  it("prepares nothing: a certificate upon one that waits is measured against the one that counts", async () => {
    const swarm = await swarmOfTwo();
    const { member, roster } = swarm;
    const changes = { site: "gamma" };
    const first = certifyAnew(swarm, { administrators: [p], member, changes });
    const second = certifyAnew(swarm, { administrators: [p], member, generation: 1, changes });
    await roster.applyAll([first, second]);
    expect(roster.member(swarm.keys.peer)?.site).toBe("beta");
    const released = certifyAnew(swarm, {
      administrators: [p],
      member,
      generation: 2,
      changes: { holder: false },
    });
    const back = certifyAnew(swarm, { administrators: [p], member, generation: 3, changes });
    await roster.applyAll([released, back]);
    expect(roster.member(swarm.keys.peer)).toMatchObject({ site: "beta", holder: true });
    await swarm.clock.advance(DAY_MS);
    expect(roster.member(swarm.keys.peer)?.site).toBe("gamma");
  });

  it("an owner is not given another node at once by one administrator", async () => {
    const swarm = await swarmOfTwo();
    const { body } = certifyAnew(swarm, { administrators: [p], member: swarm.member });
    const thief = keysOf("thief");
    await swarm.roster.apply(signCertificate(swarm.swarm, { ...body, peer: thief.peer }, [p]));
    expect(swarm.isMember()).toBe(true);
    expect(swarm.roster.roleOf(thief.peer)).toBe("stranger");
    expect(swarm.roster.pending()).toMatchObject([{ kind: "certificate" }]);
  });

  it("a removal ends certificates that wait with it", async () => {
    const swarm = await swarmOfTwo();
    const { member, roster } = swarm;
    await roster.apply(certifyAnew(swarm, { administrators: [p], member, changes: { site: "gamma" } }));
    await roster.apply(removeMember(swarm, { administrators: [p, q], member, generation: 1, reason: "" }));
    await swarm.clock.advance(3 * DAY_MS);
    expect(swarm.isMember()).toBe(false);
    expect(roster.former().map(({ state }) => state)).toContain("removed");
    expect(roster.pending().map(({ hash }) => toHex(hash))).toEqual([]);
  });
});

describe("no more than a tenth of the nodes a day, and at least one", () => {
  /** Besides the founder's and the second node, as many as make `total`. */
  async function swarmOf(total: number) {
    const swarm = await swarmOfTwo();
    const init = { site: "beta", expiresInMs: HOUR_MS, uses: total - 2, addresses: [] };
    const invitation = invite(swarm, { administrators: [p], ...init });
    const members = [swarm.member];
    for (let use = 0; use < total - 2; use++) {
      const keys = keysOf(`member ${use}`);
      await swarm.roster.applyAll(delegated(swarm, invitation, use, keys));
      members.push(must(swarm.roster.member(keys.peer), "member"));
    }
    const move = (member: Member, administrators = [p, q], site = "gamma") =>
      certifyAnew(swarm, { administrators, member, changes: { site } });
    const remove = (member: Member, administrators = [p, q]) =>
      removeMember(swarm, { administrators, member, reason: "" });
    const moved = () => swarm.roster.members().filter(({ site }) => site === "gamma").length;
    return { ...swarm, members, move, remove, moved };
  }

  it("are moved to other sites, whoever signs", async () => {
    const swarm = await swarmOf(5);
    await swarm.roster.applyAll(swarm.members.map((member) => swarm.move(member)));
    const moved: number[] = [];
    for (let day = 0; day < 4; day++) {
      moved.push(swarm.moved());
      await swarm.clock.advance(DAY_MS);
    }
    expect(moved).toEqual([1, 2, 3, 4]);
    const again = must(await Roster.open(swarm), "roster");
    expect(again.members()).toEqual(swarm.roster.members());
  });

  it("are removed and moved together: one place serves one or the other", async () => {
    const swarm = await swarmOf(21);
    const [a, b, c, d] = swarm.members.map((member) => must(member, "member"));
    await swarm.roster.apply(swarm.remove(must(a, "a")));
    await swarm.clock.advance(1);
    await swarm.roster.apply(swarm.move(must(b, "b")));
    await swarm.clock.advance(1);
    await swarm.roster.apply(swarm.move(must(c, "c")));
    await swarm.clock.advance(1);
    await swarm.roster.apply(swarm.remove(must(d, "d")));
    expect([swarm.roster.members().length, swarm.moved()]).toEqual([20, 1]);
    expect(swarm.roster.pending().map(({ kind }) => kind)).toEqual(["site-move", "removal"]);
    await swarm.clock.advance(DAY_MS);
    expect([swarm.roster.members().length, swarm.moved()]).toEqual([19, 2]);
    expect(swarm.roster.pending()).toEqual([]);
  });

  it("and dates of long ago make no more of them, though two signed", async () => {
    const swarm = await swarmOf(5);
    const early = swarm.members.map((member, day) => {
      const { body } = swarm.remove(member);
      const issuedMs = body.issuedMs - (30 - day) * DAY_MS;
      return signRemoval(swarm.swarm, { ...body, issuedMs, effectiveMs: issuedMs }, [p, q]);
    });
    await swarm.roster.applyAll(early);
    expect(swarm.roster.members()).toHaveLength(4);
    await swarm.clock.advance(DAY_MS);
    expect(swarm.roster.members()).toHaveLength(3);
  });

  it("and what is in effect stays so when a second word hurries another one", async () => {
    const swarm = await swarmOf(5);
    const [a, b] = swarm.members.map((member) => must(member, "member"));
    const slow = swarm.remove(must(a, "a"), [p]);
    await swarm.roster.apply(slow);
    await swarm.clock.advance(HOUR_MS);
    await swarm.roster.apply(swarm.remove(must(b, "b")));
    expect(swarm.roster.member(must(b, "b").peer)).toBeUndefined();
    await swarm.clock.advance(HOUR_MS);
    await swarm.roster.apply(endorse(swarm, { administrator: q, entries: [slow] }));
    expect(swarm.roster.member(must(b, "b").peer)).toBeUndefined();
    expect(swarm.roster.member(must(a, "a").peer)).toBeDefined();
    await swarm.clock.advance(DAY_MS);
    expect(swarm.roster.member(must(a, "a").peer)).toBeUndefined();
  });

  it("and a change of the administrators hurries nothing that it keeps", async () => {
    const swarm = await swarmOf(5);
    const removals = swarm.members.map((member, day) => {
      const { body } = swarm.remove(member);
      const issuedMs = body.issuedMs - (30 - day) * DAY_MS;
      return signRemoval(swarm.swarm, { ...body, issuedMs, effectiveMs: issuedMs }, [p]);
    });
    await swarm.roster.applyAll(removals);
    const entries = removals.map(({ hash }) => hash);
    const list = signEndorsement(swarm.swarm, { v: 1, set: 0, entries, issuedMs: 1 }, p);
    const { change } = changeAdministrators(swarm, {
      administrators: [p],
      keys: [p.publicKey, q.publicKey],
      threshold: 1,
    });
    const keeping = signAdministrators(swarm.swarm, { ...change.body, keeps: [list.hash] }, [p]);
    for (const outcome of await swarm.roster.applyAll([list, keeping])) expect(outcome).toBe("added");
    expect(swarm.roster.members()).toHaveLength(5);
    await swarm.clock.advance(DAY_MS);
    expect(swarm.roster.members()).toHaveLength(4);
  });
});
