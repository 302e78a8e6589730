import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { ownerIdOf, peerIdOf } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import type { Signer } from "../../../src/crypto/sign.ts";
import { certifyAnew, invite } from "../../../src/membership/administer.ts";
import { type CertificateEntry, type RosterEntry, signCertificate } from "../../../src/membership/entry.ts";
import { recoverCertificate, submitRecovered } from "../../../src/membership/recovery-door.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { rosterPage } from "../../../src/membership/roster-pages.ts";
import { delegated, rotated } from "./entries.ts";
import { faultFrom, keysOf, MemoryStore, newSwarm, signer } from "./world.ts";

const [next, later, thiefs] = ["next key", "later key", "thief's key"].map(signer);
const to = (key: Signer | undefined): Signer => must(key, "key");

/** A swarm in which "second" came by a token and has replaced its recovery key once. */
async function world() {
  const swarm = await newSwarm();
  const init = {
    administrators: swarm.administrators,
    site: "beta",
    expiresInMs: HOUR_MS,
    uses: 1,
    addresses: [],
  };
  const keys = keysOf("second");
  const [delegation, certificate] = delegated(swarm, invite(swarm, init), 0, keys);
  await swarm.roster.applyAll([delegation, certificate]);
  const owner = ownerIdOf(keys.owner.publicKey);
  const by = { node: keys.node, owner: keys.owner };
  const rotation = rotated(swarm, certificate, { ...by, from: keys.recovery, to: to(next) });
  const recoverBy = (recovery: Signer, node: string, generation?: number): CertificateEntry => {
    const made = recoverCertificate(
      { book: swarm.roster, rng: swarm.rng },
      {
        ...{ recovery, node: signer(node), owner: keys.owner.publicKey, nowMs: swarm.clock.wallMs() },
        description: { name: node, host: node, capacityBytes: 1 },
      },
    );
    const body = { ...made.body, generation: generation ?? made.body.generation };
    return signCertificate(swarm.swarm, body, [recovery, signer(node)]);
  };
  return { ...swarm, keys, owner, by, delegation, certificate, rotation, recoverBy };
}

const reasonOf = async (roster: Roster, entry: RosterEntry) =>
  (await faultFrom(() => roster.apply(entry))).message;

describe("a recovery key that is replaced", () => {
  it("lets the new identity in, and the old one no more, at once and after a restart", async () => {
    const { roster, rotation, keys, owner, store, clock } = await world();
    await roster.apply(rotation);
    for (const one of [roster, must(await Roster.open({ store, clock }), "roster")]) {
      expect(one.roleOf(peerIdOf(keys.recovery.publicKey))).toBe("stranger");
      expect(one.roleOf(peerIdOf(to(next).publicKey))).toBe("recovery-guest");
      expect(one.memberByRecovery(keys.recovery.publicKey)).toBeUndefined();
      expect(one.memberByRecovery(to(next).publicKey)?.owner).toBe(owner);
      expect(one.memberOfOwner(owner)).toMatchObject({ peer: keys.peer, recovery: to(next).publicKey });
    }
  });

  it("brings the owner back by the new key, and not by the old one, whatever generation that claims", async () => {
    const { roster, rotation, keys, owner, recoverBy, clock } = await world();
    await roster.apply(rotation);
    for (const generation of [0, 1, 2, 1000, 2 ** 32]) {
      const reason = await reasonOf(roster, recoverBy(keys.recovery, "thief's node", generation));
      expect(reason).toContain("its recovery key was replaced");
    }
    const from = peerIdOf(to(next).publicKey);
    await submitRecovered({ roster, clock, log: SILENT_LOG }, from, recoverBy(to(next), "new node").bytes);
    expect(roster.memberOfOwner(owner)?.peer).toBe(peerIdOf(signer("new node").publicKey));
  });

  it("undoes what the old key signed where the replacement had not been heard of", async () => {
    const { roster, rotation, keys, owner, recoverBy } = await world();
    const takenOver = recoverBy(keys.recovery, "thief's node");
    await roster.apply(takenOver);
    expect(roster.memberOfOwner(owner)?.peer).toBe(takenOver.body.peer);
    await roster.apply(rotation);
    expect(roster.memberOfOwner(owner)?.peer).toBe(keys.peer);
    expect(roster.roleOf(takenOver.body.peer)).toBe("former");
  });

  it("keeps what the old key signed before: a life is not undone by a later replacement", async () => {
    const { roster, clock, rng, keys, owner, recoverBy, administrators, swarm, by } = await world();
    const recovered = recoverBy(keys.recovery, "new node");
    await roster.apply(recovered);
    const member = must(roster.memberOfOwner(owner), "member");
    const confirmed = certifyAnew(
      { roster, clock, rng },
      { administrators, member, changes: { holder: true } },
    );
    await roster.apply(confirmed);
    clock.advance(2 * DAY_MS);
    const signers = { ...by, node: signer("new node"), from: keys.recovery, to: to(next) };
    await roster.apply(rotated({ swarm, clock }, confirmed, signers));
    expect(roster.memberOfOwner(owner)).toMatchObject({
      peer: recovered.body.peer,
      recovery: to(next).publicKey,
    });
    expect(roster.formerMember(keys.peer)?.state).toBe("replaced");
  });

  it("is not brought back by an administrator that has not heard", async () => {
    const { roster, rotation, keys, owner, clock, rng, administrators } = await world();
    const member = must(roster.memberOfOwner(owner), "member");
    const stale = certifyAnew(
      { roster, clock, rng },
      { administrators, member, changes: { name: "renamed" } },
    );
    expect(stale.body.recovery).toEqual(keys.recovery.publicKey);
    await roster.applyAll([rotation, stale]);
    expect(roster.memberOfOwner(owner)).toMatchObject({ name: "renamed", recovery: to(next).publicKey });
    expect(roster.roleOf(peerIdOf(keys.recovery.publicKey))).toBe("stranger");
  });

  it("goes to a new member with the whole roster, page by page, and is known where it is told again", async () => {
    const { roster, rotation, owner, by, certificate, swarm, clock, recoverBy } = await world();
    await roster.apply(rotation);
    const second = rotated({ swarm, clock }, certificate, {
      ...by,
      from: to(next),
      to: to(later),
      number: 2,
    });
    await roster.apply(second);
    await roster.apply(recoverBy(to(later), "new node"));
    const { genesis, entries, next: more } = rosterPage(roster, {});
    expect(more).toBeUndefined();
    const copy = await Roster.create({ store: new MemoryStore(), clock }, { genesis, entries });
    expect(copy.digest()).toEqual(roster.digest());
    expect(copy.memberOfOwner(owner)).toMatchObject({ recovery: to(later).publicKey });
    expect(await copy.apply(rotation)).toBe("known");
    const cursor = Uint8Array.from([7, ...new Uint8Array(7), 1, ...new Uint8Array(24).fill(255)]);
    const types = rosterPage(roster, { after: cursor }).entries.length;
    expect(types).toBe(2);
  });
});

describe("a thief", () => {
  it("of the words alone replaces nothing, though the root is his by them", async () => {
    const { roster, certificate, keys, by, swarm, clock, recoverBy } = await world();
    const keysOfThief = { owner: by.owner, from: keys.recovery, to: to(thiefs) };
    const own = signer("thief's node");
    // Under his own node's key for the certificate of the owner's node.
    const other = rotated({ swarm, clock }, certificate, { ...keysOfThief, node: own });
    expect(await reasonOf(roster, other)).toContain("another node's");
    const forged = rotated({ swarm, clock }, certificate, {
      ...keysOfThief,
      node: own,
      changes: { peer: keys.peer },
    });
    expect(await reasonOf(roster, forged)).toContain("not signed by node, owner, the old and the new");
    // As the node that he made himself by them.
    const takenOver = recoverBy(keys.recovery, "thief's node");
    await roster.apply(takenOver);
    const asNode = rotated({ swarm, clock }, takenOver, { ...keysOfThief, node: own });
    expect(await reasonOf(roster, asNode)).toContain("no administrator has confirmed it");
  });

  it("of the machine alone replaces nothing: it has never had the words", async () => {
    const { roster, certificate, keys, by, swarm, clock } = await world();
    const signers = [keys.node, keys.owner, to(thiefs)];
    const init = { ...by, from: keys.recovery, to: to(thiefs) };
    for (const signed of [signers, [...signers, signer("anybody")]]) {
      const forged = rotated({ swarm, clock }, certificate, { ...init, signers: signed });
      expect(await reasonOf(roster, forged)).toContain("not signed by node, owner, the old and the new");
    }
    const invented = rotated({ swarm, clock }, certificate, { ...by, from: to(thiefs), to: to(later) });
    expect(await reasonOf(roster, invented)).toContain("not the one of its certificate");
    const asSecond = rotated({ swarm, clock }, certificate, {
      ...by,
      from: to(thiefs),
      to: to(later),
      number: 2,
    });
    expect(await reasonOf(roster, asSecond)).toContain("the rotation that it follows is not known");
  });

  it("of another owner's recovery identity does not make that his own", async () => {
    const { roster, certificate, keys, by, swarm, clock } = await world();
    const victim = keysOf("first").recovery;
    const init = { ...by, from: keys.recovery, to: victim, signers: [keys.node, keys.owner, keys.recovery] };
    expect(await reasonOf(roster, rotated({ swarm, clock }, certificate, init))).toContain("not signed by");
  });

  it("of old words gets no replaced key back", async () => {
    const { roster, rotation, certificate, keys, by, swarm, clock } = await world();
    await roster.apply(rotation);
    const back = rotated({ swarm, clock }, certificate, {
      ...by,
      from: to(next),
      to: keys.recovery,
      number: 2,
    });
    expect(await reasonOf(roster, back)).toContain("does not come back");
  });
});

it("what a rotation carries is the new identity's, and of this owner", async () => {
  const { roster, certificate, keys, by, swarm, clock, rotation } = await world();
  const first = must(
    roster.members().find(({ peer }) => peer !== keys.peer),
    "first",
  );
  expect(first.name).toBe("first");
  const other = rotated({ swarm, clock }, certificate, { ...by, from: keys.recovery, to: to(thiefs) });
  const init = { ...by, from: keys.recovery, to: to(next) };
  for (const changes of [
    { slot: other.body.slot },
    { life: other.body.life },
    { slot: rotation.body.life },
  ]) {
    const fault = await faultFrom(() =>
      roster.apply(rotated({ swarm, clock }, certificate, { ...init, changes })),
    );
    expect(["SIGNATURE_INVALID", "FORMAT_INVALID"]).toContain(fault.code);
  }
  expect(await roster.apply(rotation)).toBe("added");
});
