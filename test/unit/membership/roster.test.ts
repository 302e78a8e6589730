import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { isFault } from "../../../src/base/fault.ts";
import { ownerIdOf, peerIdOf } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { certifyAnew, invite, removeMember } from "../../../src/membership/administer.ts";
import { RECOVERIES_KEPT } from "../../../src/membership/book.ts";
import { decodeEntry, signCertificate, signGenesis } from "../../../src/membership/entry.ts";
import { recoverCertificate, recoverHello, submitRecovered } from "../../../src/membership/recovery-door.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { guestSigner, parseToken } from "../../../src/membership/token.ts";
import { rosterEntryCodec } from "../../../src/wire/membership.ts";
import { delegated, newcomer } from "./entries.ts";
import { faultFrom, keysOf, MemoryStore, newSwarm, signer } from "./world.ts";

type Swarm = Awaited<ReturnType<typeof newSwarm>>;

function invitationTo(
  swarm: Swarm,
  options: { uses?: number; site?: string; administrators?: ReturnType<typeof signer>[] } = {},
) {
  return invite(swarm, {
    administrators: options.administrators ?? swarm.administrators,
    site: options.site ?? "beta",
    expiresInMs: HOUR_MS,
    uses: options.uses ?? 4,
    addresses: [],
  });
}

async function withSecond(swarm: Swarm) {
  const invitation = invitationTo(swarm);
  const keys = keysOf("second");
  await swarm.roster.applyAll(delegated(swarm, invitation, 0, keys));
  return { keys, invitation, member: must(swarm.roster.member(keys.peer), "second") };
}

const recover = (swarm: Swarm, owner: ReturnType<typeof keysOf>, node: string, site?: string) =>
  recoverCertificate(
    { book: swarm.roster, rng: swarm.rng },
    {
      recovery: owner.recovery,
      node: signer(node),
      owner: owner.owner.publicKey,
      nowMs: swarm.clock.wallMs(),
      description: { name: node, host: node, capacityBytes: 1, ...(site === undefined ? {} : { site }) },
    },
  );

describe("a roster", () => {
  it("knows its first member, and the same after it was opened again", async () => {
    const { roster, store, clock, keys, certificate } = await newSwarm();
    const reopened = must(await Roster.open({ store, clock }), "roster");
    for (const one of [roster, reopened]) {
      expect(one.members()).toHaveLength(1);
      expect(one.member(keys.peer)).toMatchObject({
        owner: ownerIdOf(keys.owner.publicKey),
        site: "alpha",
        holder: true,
        certificateHash: certificate.hash,
      });
      expect(one.memberOfOwner(ownerIdOf(keys.owner.publicKey))?.peer).toBe(keys.peer);
      expect(one.memberByRecovery(keys.recovery.publicKey)?.peer).toBe(keys.peer);
      expect(one.roleOf(keys.peer)).toBe("member");
      expect(one.roleOf(peerIdOf(keys.recovery.publicKey))).toBe("recovery-guest");
      expect(one.roleOf(peerIdOf(keys.owner.publicKey))).toBe("stranger");
    }
    expect(reopened.digest()).toEqual(roster.digest());
    expect(await Roster.open({ store: new MemoryStore(), clock })).toBeUndefined();
  });

  it("lists a token's guests until the token expires", async () => {
    const swarm = await newSwarm();
    const invitation = invitationTo(swarm);
    const guest = peerIdOf(guestSigner(parseToken(invitation.token), 1).publicKey);
    expect(swarm.roster.roleOf(guest)).toBe("stranger");
    await swarm.roster.applyAll(invitation.delegations);
    expect(swarm.roster.roleOf(guest)).toBe("join-guest");
    await swarm.clock.advance(2 * HOUR_MS);
    expect(swarm.roster.roleOf(guest)).toBe("stranger");
  });

  it("is not ahead of its disk when a write fails", async () => {
    const swarm = await newSwarm();
    const [delegation, certificate] = delegated(swarm, invitationTo(swarm), 0, keysOf("second"));
    await swarm.roster.apply(delegation);
    swarm.store.failNext = true;
    expect((await faultFrom(() => swarm.roster.apply(certificate))).code).toBe("DISK_FULL");
    expect(swarm.roster.members()).toHaveLength(1);
    expect(await swarm.roster.apply(certificate)).toBe("added");
    expect(await swarm.roster.apply(certificate.bytes)).toBe("known");
  });

  it("refuses a store of another swarm", async () => {
    const { store, clock } = await newSwarm();
    const other = await newSwarm({ name: "other" });
    const fault = await faultFrom(() => Roster.create({ store, clock }, { genesis: other.genesis.bytes }));
    expect(fault.code).toBe("NOT_ALLOWED");
  });

  it("tells its listeners what is new, once", async () => {
    const swarm = await newSwarm();
    const heard: string[] = [];
    const stop = swarm.roster.onChange(({ added }) => heard.push(...added.map((entry) => entry.type)));
    const pair = delegated(swarm, invitationTo(swarm), 0, keysOf("second"));
    await swarm.roster.applyAll(pair);
    await swarm.roster.applyAll(pair);
    expect(heard).toEqual(["delegation", "certificate"]);
    stop();
    await swarm.roster.applyAll(delegated(swarm, invitationTo(swarm), 1, keysOf("third")));
    expect(heard).toHaveLength(2);
  });
});

describe("what a roster refuses, each with its reason", () => {
  const cases: Record<string, (swarm: Swarm) => { entry: unknown; code: string; says: string }> = {
    "a forged signature": (swarm) => {
      const [, certificate] = delegated(swarm, invitationTo(swarm), 0, keysOf("x"));
      const envelope = rosterEntryCodec.decode(swarm.certificate.bytes);
      const [first] = envelope.signatures;
      const body = certificate.bodyBytes;
      const forged = {
        ...envelope,
        body: signedByAdministrators(swarm, body),
        signatures: [must(first, "signature")],
      };
      return { entry: rosterEntryCodec.encode(forged), code: "SIGNATURE_INVALID", says: "does not match" };
    },
    "an entry of another swarm": (swarm) => {
      const { bytes } = swarm.certificate;
      const entry = rosterEntryCodec.encode({ ...rosterEntryCodec.decode(bytes), swarm: otherSwarm });
      return { entry, code: "SIGNATURE_INVALID", says: "another swarm" };
    },
    "a second genesis": (swarm) => {
      const body = { ...swarm.genesis.body, nonce: new Uint8Array(16).fill(7) };
      const entry = signGenesis(body, must(swarm.administrators[0], "administrator")).bytes;
      return { entry, code: "SIGNATURE_INVALID", says: "another swarm" };
    },
    "an unknown administrator": (swarm) => {
      const entry = must(
        invitationTo(swarm, { administrators: [signer("nobody")] }).delegations[0],
        "delegation",
      );
      return { entry, code: "NOT_ALLOWED", says: "no administrator" };
    },
    "a certificate without its delegation": (swarm) => {
      const entry = newcomer(swarm, invitationTo(swarm, { site: "gamma" }), 0, keysOf("x"));
      return { entry, code: "NOT_ALLOWED", says: "delegation that it uses is not known" };
    },
    "bytes that are no entry": () => ({
      entry: Uint8Array.of(1, 2),
      code: "FORMAT_INVALID",
      says: "roster entry",
    }),
    "a recovery of an unknown owner": (swarm) => {
      const keys = keysOf("unknown");
      const body = { ...swarm.certificate.body, by: "recovery" as const, generation: 1, holder: false };
      const own = {
        ...body,
        owner: ownerIdOf(keys.owner.publicKey),
        recovery: keys.recovery.publicKey,
        peer: keys.peer,
      };
      const entry = signCertificate(swarm.swarm, own, [keys.recovery, keys.node]);
      return { entry, code: "NOT_ALLOWED", says: "owner is not known" };
    },
  };
  const otherSwarm = signGenesis(
    { v: 1, administrators: [signer("q").publicKey], threshold: 1, createdMs: 0, nonce: new Uint8Array(16) },
    signer("q"),
  ).swarm;

  function signedByAdministrators(swarm: Swarm, _: Uint8Array): Uint8Array {
    return signCertificate(swarm.swarm, { ...swarm.certificate.body, name: "forged" }, [signer("q")])
      .bodyBytes;
  }

  for (const [name, make] of Object.entries(cases)) {
    it(name, async () => {
      const swarm = await newSwarm();
      const { entry, code, says } = make(swarm);
      const digest = swarm.roster.digest();
      const bytes = entry instanceof Uint8Array ? entry : (entry as { bytes: Uint8Array }).bytes;
      const fault = await faultFrom(() => swarm.roster.apply(bytes));
      expect({ code: fault.code, message: fault.message }).toMatchObject({ code });
      expect(fault.message).toContain(says);
      expect(swarm.roster.digest()).toEqual(digest);
    });
  }

  const changed: Record<string, { changes?: object; signers?: string[]; code?: string; says: string }> = {
    "another site than the token's": { changes: { site: "gamma" }, says: "site beta, not gamma" },
    "another node number": { changes: { nodeNumber: new Uint8Array(32) }, says: "node number" },
    "a quota of its own": { changes: { quotaBytes: 5 }, says: "quota" },
    "issued after the token expired": {
      changes: { issuedMs: 1_900_000_000_000 },
      code: "TOKEN_EXPIRED",
      says: "expired",
    },
    "issued before the token": {
      changes: { issuedMs: 1_700_000_000_000 },
      says: "older than its delegation",
    },
    "not signed by the guest": { signers: ["stranger", "node", "owner", "recovery"], says: "token's guest" },
    "a node key that is not its own": {
      signers: ["guest", "stranger", "owner", "recovery"],
      says: "its node",
    },
    "an owner that is not its own": { signers: ["guest", "node", "stranger", "recovery"], says: "its owner" },
    "another's recovery identity": {
      signers: ["guest", "node", "owner", "stranger"],
      says: "recovery identity",
    },
    "a signature too many": {
      signers: ["guest", "node", "owner", "recovery", "stranger"],
      says: "should not have",
    },
    "one key twice": { signers: ["guest", "node", "owner", "recovery", "recovery"], says: "should not have" },
  };
  for (const [name, { changes, signers, code, says }] of Object.entries(changed)) {
    it(`a newcomer with ${name}`, async () => {
      const swarm = await newSwarm();
      const invitation = invitationTo(swarm);
      await swarm.roster.applyAll(invitation.delegations);
      const keys = keysOf("x");
      const byName: Record<string, ReturnType<typeof signer>> = {
        guest: guestSigner(parseToken(invitation.token), 0),
        stranger: signer("stranger"),
        node: keys.node,
        owner: keys.owner,
        recovery: keys.recovery,
      };
      const used = signers?.map((one) => must(byName[one], one));
      const fault = await faultFrom(() =>
        swarm.roster.apply(newcomer(swarm, invitation, 0, keys, changes, used)),
      );
      expect(fault.message).toContain(says);
      expect(fault.code).toBe(code ?? "NOT_ALLOWED");
    });
  }

  it("a token used twice: the lower hash stays, whichever came first", async () => {
    const swarm = await newSwarm();
    const invitation = invitationTo(swarm);
    const [delegation, a] = delegated(swarm, invitation, 0, keysOf("a"));
    const b = newcomer(swarm, invitation, 0, keysOf("b"));
    const [low, high] = Buffer.compare(a.hash, b.hash) < 0 ? [a, b] : [b, a];
    await swarm.roster.apply(delegation);
    await swarm.roster.apply(high);
    await swarm.roster.apply(low);
    expect((await faultFrom(() => swarm.roster.apply(high))).code).toBe("TOKEN_USED");
    expect(swarm.roster.roleOf(low.body.peer)).toBe("member");
    // It may come to hear what became of it.
    expect(swarm.roster.roleOf(high.body.peer)).toBe("former");
    expect(swarm.roster.displacedBy(high.body.peer)?.body.peer).toBe(low.body.peer);
    const reopened = must(await Roster.open(swarm), "roster");
    expect(reopened.digest()).toEqual(swarm.roster.digest());
    expect(reopened.roleOf(high.body.peer)).toBe("former");
    expect(reopened.displacedBy(high.body.peer)?.body.peer).toBe(low.body.peer);
    expect(reopened.displacedBy(low.body.peer)).toBeUndefined();
  });

  it("fewer administrators than the threshold, and takes any two of three", async () => {
    const administrators = ["x", "y", "z"].map((name) => signer(`administrator ${name}`));
    const swarm = await newSwarm({ administrators, threshold: 2 });
    const [x, y, z] = administrators;
    const one = invitationTo(swarm, { administrators: [must(x, "x")] });
    const fault = await faultFrom(() => swarm.roster.apply(must(one.delegations[0], "delegation")));
    expect(fault.message).toContain("1 of the 2 administrators");
    const mixed = invitationTo(swarm, { administrators: [must(x, "x"), signer("nobody")] });
    const strange = await faultFrom(() => swarm.roster.apply(must(mixed.delegations[0], "delegation")));
    expect(strange.message).toContain("no administrator");
    const two = invitationTo(swarm, { administrators: [must(z, "z"), must(y, "y")] });
    expect(await swarm.roster.apply(must(two.delegations[0], "delegation"))).toBe("added");
    const twice = invitationTo(swarm, { administrators: [must(z, "z"), must(z, "z")] });
    const doubled = await faultFrom(() => swarm.roster.apply(must(twice.delegations[0], "delegation")));
    expect(doubled.message).toContain("twice");
  });

  it("an old roster is replayed after its tokens expired", async () => {
    const swarm = await newSwarm();
    await withSecond(swarm);
    await swarm.clock.advance(300 * DAY_MS);
    const newcomers = await Roster.create(
      { store: new MemoryStore(), clock: swarm.clock },
      { genesis: swarm.roster.genesisBytes, entries: swarm.roster.entries() },
    );
    expect(newcomers.members()).toHaveLength(2);
  });
});

describe("recovering", () => {
  const door = (swarm: Swarm) => ({ roster: swarm.roster, clock: swarm.clock, log: SILENT_LOG });

  it("moves an owner to a new node, which holds nothing until an administrator confirms it", async () => {
    const swarm = await newSwarm();
    const { keys, member } = await withSecond(swarm);
    const certificate = recover(swarm, keys, "new machine");
    const guest = peerIdOf(keys.recovery.publicKey);
    expect(recoverHello(door(swarm), guest, {}).owner).toEqual(member);
    const answer = await submitRecovered(door(swarm), guest, certificate.bytes);
    expect(await submitRecovered(door(swarm), guest, certificate.bytes)).toEqual(answer);
    const moved = must(swarm.roster.memberOfOwner(member.owner), "member");
    expect(moved).toMatchObject({ name: "new machine", site: "beta", holder: false, generation: 1 });
    expect(swarm.roster.roleOf(keys.peer)).toBe("former");
    expect(swarm.roster.former()).toMatchObject([{ peer: keys.peer, state: "replaced" }]);
    await swarm.roster.apply(
      certifyAnew(swarm, { administrators: swarm.administrators, member: moved, changes: { holder: true } }),
    );
    const confirmed = must(swarm.roster.memberOfOwner(member.owner), "member");
    expect(confirmed).toMatchObject({ peer: moved.peer, holder: true, generation: 2 });
    expect(confirmed.nodeNumber).not.toEqual(moved.nodeNumber);
    expect(swarm.roster.former().map((one) => one.peer)).toEqual([keys.peer]);
  });

  it("refuses another's recovery identity, an old generation, a holder, and a quota of its own", async () => {
    const swarm = await newSwarm();
    const { keys } = await withSecond(swarm);
    const { body } = recover(swarm, keys, "m");
    const sign = (changes: object, signers = [keys.recovery, signer("m")]) =>
      signCertificate(swarm.swarm, { ...body, ...changes }, signers);
    const thief = signer("thief");
    const refused = [
      [sign({ recovery: thief.publicKey }, [thief, signer("m")]), "another recovery identity"],
      [sign({}, [thief, signer("m")]), "recovery identity"],
      [sign({}, [keys.recovery, thief]), "its node"],
      [sign({ generation: 0 }), "generation"],
      [sign({ holder: true }), "no holder"],
      [sign({ quotaBytes: 1 }), "quota"],
    ] as const;
    for (const [entry, says] of refused) {
      expect((await faultFrom(() => swarm.roster.apply(entry))).message).toContain(says);
    }
    const guest = peerIdOf(keys.recovery.publicKey);
    const misspelt = recover(swarm, keys, "m", "be-ta");
    expect((await faultFrom(() => submitRecovered(door(swarm), guest, misspelt.bytes))).code).toBe("USAGE");
    expect((await faultFrom(() => submitRecovered(door(swarm), keys.peer, misspelt.bytes))).code).toBe(
      "NOT_ALLOWED",
    );
  });

  it("keeps a bounded number of recoveries of one owner", async () => {
    const swarm = await newSwarm();
    const { keys, member } = await withSecond(swarm);
    const sizeBefore = swarm.roster.entries().length;
    for (let i = 0; i < RECOVERIES_KEPT + 5; i++) await swarm.roster.apply(recover(swarm, keys, `m${i}`));
    expect(swarm.roster.entries()).toHaveLength(sizeBefore + RECOVERIES_KEPT);
    expect(swarm.roster.memberOfOwner(member.owner)?.name).toBe(`m${RECOVERIES_KEPT + 4}`);
    const { body } = recover(swarm, keys, "old");
    const old = signCertificate(swarm.swarm, { ...body, generation: 1 }, [keys.recovery, signer("old")]);
    expect(isFault(await faultFrom(() => swarm.roster.apply(old)), "RECORD_STALE")).toBe(true);
  });

  it("takes away what was rooted in a certificate that lost its delegation", async () => {
    const swarm = await newSwarm();
    const invitation = invitationTo(swarm);
    const [delegation, a] = delegated(swarm, invitation, 0, keysOf("a"));
    const b = newcomer(swarm, invitation, 0, keysOf("b"));
    const [low, high, name] = Buffer.compare(a.hash, b.hash) < 0 ? [a, b, "b"] : [b, a, "a"];
    await swarm.roster.applyAll([delegation, high]);
    const recovered = recover(swarm, keysOf(name), "m");
    await swarm.roster.apply(recovered);
    await swarm.roster.apply(low);
    expect(swarm.roster.roleOf(recovered.body.peer)).toBe("former");
    const fresh = must(await Roster.open(swarm), "roster");
    expect(fresh.digest()).toEqual(swarm.roster.digest());
  });
});

describe("removing", () => {
  it("waits a day for the word of one administrator, and not for two", async () => {
    const administrators = [signer("p"), signer("q")];
    for (const signers of [administrators.slice(0, 1), administrators]) {
      const swarm = await newSwarm({ administrators });
      const { keys, member } = await withSecond(swarm);
      const removal = removeMember(swarm, { administrators: signers, member, reason: "stolen" });
      let changes = 0;
      await swarm.roster.apply(removal);
      swarm.roster.onChange(() => changes++);
      if (signers.length === 1) {
        expect(swarm.roster.roleOf(keys.peer)).toBe("member");
        await swarm.clock.advance(DAY_MS + 1);
        swarm.roster.tick();
        swarm.roster.tick();
        expect(changes).toBe(1);
      }
      expect(swarm.roster.roleOf(keys.peer)).toBe("former");
      expect(swarm.roster.former()).toMatchObject([{ peer: keys.peer, state: "removed" }]);
      expect(swarm.roster.roleOf(peerIdOf(keys.recovery.publicKey))).toBe("recovery-guest");
      expect(swarm.roster.memberByRecovery(keys.recovery.publicKey)?.owner).toBe(member.owner);
    }
  });

  it("counts the day from when a removal is first heard, whatever date it bears", async () => {
    const swarm = await newSwarm();
    const { keys, member } = await withSecond(swarm);
    const early = removeMember(swarm, { administrators: swarm.administrators, member, reason: "" });
    await swarm.clock.advance(30 * DAY_MS);
    await swarm.roster.apply(early);
    expect(swarm.roster.roleOf(keys.peer)).toBe("member");
    const told = await Roster.create(
      { store: new MemoryStore(), clock: swarm.clock },
      { genesis: swarm.roster.genesisBytes, entries: swarm.roster.entries() },
    );
    expect(told.roleOf(keys.peer)).toBe("former");
  });

  it("takes one node of a small swarm out a day, however many are named", async () => {
    const administrators = [signer("p"), signer("q")];
    const swarm = await newSwarm({ administrators });
    const invitation = invitationTo(swarm, { uses: 4 });
    for (let use = 0; use < 4; use++)
      await swarm.roster.applyAll(delegated(swarm, invitation, use, keysOf(`n${use}`)));
    const removals = swarm.roster
      .members()
      .map((member) => removeMember(swarm, { administrators, member, reason: "" }));
    await swarm.roster.applyAll(removals);
    const left: number[] = [];
    for (let day = 0; day < 5; day++) {
      left.push(swarm.roster.members().length);
      await swarm.clock.advance(DAY_MS);
    }
    expect(left).toEqual([4, 3, 2, 1, 0]);
  });

  it("lets the owner come back on a new machine, unless it is barred", async () => {
    for (const barsOwner of [false, true]) {
      const swarm = await newSwarm({ administrators: [signer("p"), signer("q")] });
      const { keys, member } = await withSecond(swarm);
      await swarm.roster.apply(
        removeMember(swarm, { administrators: swarm.administrators, member, reason: "", barsOwner }),
      );
      const certificate = recover(swarm, keys, "m");
      const submit = () =>
        submitRecovered(
          { roster: swarm.roster, clock: swarm.clock, log: SILENT_LOG },
          peerIdOf(keys.recovery.publicKey),
          certificate.bytes,
        );
      if (barsOwner) expect((await faultFrom(submit)).message).toContain("barred");
      else await submit();
      await swarm.roster.apply(certificate);
      expect(swarm.roster.roleOf(certificate.body.peer)).toBe(barsOwner ? "stranger" : "member");
    }
  });

  it("moves a node to another site after a day, or at once by two administrators", async () => {
    const administrators = [signer("p"), signer("q")];
    const swarm = await newSwarm({ administrators });
    const { member, keys } = await withSecond(swarm);
    const site = () => swarm.roster.member(keys.peer)?.site;
    await swarm.roster.apply(
      certifyAnew(swarm, { administrators: administrators.slice(1), member, changes: { site: "gamma" } }),
    );
    expect(site()).toBe("beta");
    await swarm.clock.advance(DAY_MS);
    expect(site()).toBe("gamma");
    const moved = must(swarm.roster.member(keys.peer), "member");
    // One node a day: the move that has just counted was today's.
    await swarm.clock.advance(DAY_MS);
    await swarm.roster.apply(
      certifyAnew(swarm, { administrators, member: moved, changes: { site: "delta" } }),
    );
    expect(site()).toBe("delta");
  });
});

describe("entries", () => {
  it("come back from their bytes as they were", async () => {
    const swarm = await newSwarm();
    const { invitation, member } = await withSecond(swarm);
    const removal = removeMember(swarm, { administrators: swarm.administrators, member, reason: "r" });
    for (const entry of [swarm.genesis, swarm.certificate, ...invitation.delegations, removal]) {
      const decoded = decodeEntry(entry.bytes);
      expect(Buffer.from(decoded.hash)).toEqual(Buffer.from(entry.hash));
      expect(decoded.type).toBe(entry.type);
      expect(rosterEntryCodec.encode(rosterEntryCodec.decode(entry.bytes))).toEqual(entry.bytes);
    }
  });

  it("have the epoch that their body gives them", async () => {
    const { certificate } = await newSwarm();
    const envelope = rosterEntryCodec.decode(certificate.bytes);
    const bytes = rosterEntryCodec.encode({ ...envelope, epoch: 9 });
    expect((await faultFrom(() => decodeEntry(bytes))).message).toContain("epoch");
  });
});
