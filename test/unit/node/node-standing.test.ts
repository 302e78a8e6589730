import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { toHex } from "../../../src/base/bytes.ts";
import { incarnationOf, ownerIdOf } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { invite, Roster, recoverCertificate, removeMember } from "../../../src/membership/index.ts";
import { faultOfStanding, type StandingEvidence, standingOf } from "../../../src/node/node-standing.ts";
import { delegated } from "../membership/entries.ts";
import { keysOf, MemoryStore, newSwarm, signer } from "../membership/world.ts";

const LIFE = incarnationOf(new Uint8Array(16).fill(1));
const OTHER_LIFE = incarnationOf(new Uint8Array(16).fill(2));
const TRUSTED = { members: 3, formers: 0 };
const SHUNNED = { members: 1, formers: 2 };

async function world(administrators = [signer("p"), signer("q")]) {
  const swarm = await newSwarm({ administrators });
  const addressed = { administrators, site: "beta", expiresInMs: HOUR_MS, uses: 1, addresses: [] };
  const invitation = invite(swarm, addressed);
  const keys = keysOf("second");
  await swarm.roster.applyAll(delegated(swarm, invitation, 0, keys));
  const member = must(swarm.roster.member(keys.peer), "second");
  const self = { peer: keys.peer, owner: member.owner, incarnation: LIFE };
  const evidence = { certified: undefined, answeredAs: TRUSTED, wasRemoved: false };
  const at = (changes: Partial<StandingEvidence> = {}) =>
    standingOf({ roster: swarm.roster, ...evidence, ...changes }, self);
  const remove = () => swarm.roster.apply(removeMember(swarm, { administrators, member, reason: "sold" }));
  return { swarm, administrators, keys, member, self, at, remove, evidence };
}

describe("what a node is in its swarm", () => {
  it("a member, whatever single peers answer it", async () => {
    const { at } = await world();
    expect(at()).toEqual({ state: "member" });
    expect(at({ answeredAs: SHUNNED })).toEqual({ state: "member" });
  });

  it("fenced by the node onto which its owner was recovered, and by a life that was certified before that is known", async () => {
    const { swarm, keys, self, at } = await world();
    const timeMs = swarm.clock.wallMs();
    expect(at({ certified: { incarnation: LIFE, timeMs } })).toEqual({ state: "member" });
    const early = at({ certified: { incarnation: OTHER_LIFE, timeMs } });
    expect(early).toEqual({ state: "fenced", sinceMs: timeMs, by: undefined });
    await swarm.clock.advance(1000);
    const certificate = recoverCertificate(
      { book: swarm.roster, rng: swarm.rng },
      {
        recovery: keys.recovery,
        node: signer("new machine"),
        owner: keys.owner.publicKey,
        nowMs: swarm.clock.wallMs(),
        description: { name: "new", host: "new", capacityBytes: 1 },
      },
    );
    await swarm.roster.apply(certificate);
    const { peer, issuedMs } = certificate.body;
    expect(at()).toEqual({ state: "fenced", sinceMs: issuedMs, by: peer });
    expect(faultOfStanding(at(), self.owner)).toMatchObject({ code: "FENCED" });
  });

  it("removed by administrators", async () => {
    const { administrators, self, at, remove } = await world();
    await remove();
    const standing = at();
    expect(standing).toMatchObject({ state: "removed" });
    const by = "by" in standing ? standing.by : undefined;
    expect(administrators.map(({ publicKey }) => toHex(publicKey))).toContain(by);
    expect(faultOfStanding(at(), self.owner)).toMatchObject({ code: "REMOVED" });
  });

  it("removed as soon as most say so, though it heard of a single administrator's removal only now", async () => {
    const { swarm, at, remove } = await world([signer("p")]);
    await remove();
    expect(at()).toEqual({ state: "member" });
    expect(at({ answeredAs: SHUNNED })).toMatchObject({ state: "removed" });
    expect(at({ answeredAs: { members: 2, formers: 2 } })).toEqual({ state: "member" });
    // After a restart nobody has answered yet.
    const nobody = { members: 0, formers: 0 };
    expect(at({ answeredAs: nobody })).toEqual({ state: "member" });
    expect(at({ answeredAs: nobody, wasRemoved: true })).toMatchObject({ state: "removed" });
    expect(at({ wasRemoved: true })).toEqual({ state: "member" });
    await swarm.clock.advance(DAY_MS + 1);
    expect(at()).toMatchObject({ state: "removed" });
  });

  it("unlisted where nothing of it is known", async () => {
    const { swarm, self, evidence } = await world();
    const stranger = keysOf("stranger");
    const all = { roster: swarm.roster, ...evidence };
    expect(standingOf(all, { ...self, peer: stranger.peer })).toEqual({ state: "unlisted" });
    const owner = ownerIdOf(stranger.owner.publicKey);
    expect(standingOf(all, { ...self, owner })).toEqual({ state: "unlisted" });
    expect(faultOfStanding({ state: "unlisted" }, owner)).toMatchObject({ code: "NOT_A_MEMBER" });
  });

  it("a member again under a new owner, in whatever order that and what ended the old one are heard", async () => {
    const { swarm, administrators, keys, member, self } = await world();
    const removal = removeMember(swarm, { administrators, member, reason: "sold" });
    await swarm.clock.advance(1000);
    const addressed = { administrators, site: "beta", expiresInMs: HOUR_MS, uses: 1, addresses: [] };
    const again = { ...keys, owner: signer("new owner"), recovery: signer("new recovery") };
    const [delegation, certificate] = delegated(swarm, invite(swarm, addressed), 0, again);
    const before = swarm.roster.entries();
    for (const order of [
      [removal, delegation, certificate],
      [delegation, certificate, removal],
      [delegation, certificate],
    ]) {
      const roster = await Roster.create(
        { store: new MemoryStore(), clock: swarm.clock },
        { genesis: swarm.roster.genesisBytes, entries: before },
      );
      await roster.applyAll(order);
      expect(roster.member(keys.peer)?.owner).toBe(ownerIdOf(again.owner.publicKey));
      expect(roster.roleOf(keys.peer)).toBe("member");
      expect(roster.memberOfOwner(self.owner)).toBeUndefined();
      // The old owner's recovery key still brings its repository back.
      expect(roster.memberByRecovery(keys.recovery.publicKey)?.owner).toBe(self.owner);
    }
  });
});
