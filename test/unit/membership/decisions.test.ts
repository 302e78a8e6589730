import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { toHex } from "../../../src/base/bytes.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { certifyAnew, endorse, invite, removeMember, withdraw } from "../../../src/membership/administer.ts";
import { signCertificate, signEndorsement } from "../../../src/membership/entry.ts";
import { Roster } from "../../../src/membership/roster.ts";
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
