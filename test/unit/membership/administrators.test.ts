import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { toHex } from "../../../src/base/bytes.ts";
import { isFault } from "../../../src/base/fault.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import type { Signer } from "../../../src/crypto/sign.ts";
import { endorse, invite, removeMember, withdraw } from "../../../src/membership/administer.ts";
import { compareChanges } from "../../../src/membership/authority.ts";
import { decodeEntry, signAdministrators, signEndorsement } from "../../../src/membership/entry.ts";
import { verifyRoster } from "../../../src/membership/join.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { rosterPage } from "../../../src/membership/roster-pages.ts";
import { changeAdministrators } from "../../../src/membership/succession.ts";
import type { AdministratorsBody } from "../../../src/wire/membership.ts";
import { delegated, newcomer } from "./entries.ts";
import { faultFrom, keysOf, MemoryStore, newSwarm, signer } from "./world.ts";

const [a, b, c] = [signer("a"), signer("b"), signer("c")];
type Swarm = Awaited<ReturnType<typeof newSwarm>>;

const publicKeys = (keys: readonly Signer[]): Uint8Array[] => keys.map(({ publicKey }) => publicKey);

async function change(swarm: Swarm, by: Signer, keys: readonly Signer[], threshold = 1): Promise<void> {
  const init = { administrators: [by], keys: publicKeys(keys), threshold };
  const { lists, change: entry } = changeAdministrators(swarm, init);
  for (const outcome of await swarm.roster.applyAll([...lists, entry])) {
    if (outcome instanceof Error) throw outcome;
  }
}

const invitation = (swarm: Swarm, by: Signer, uses = 3) =>
  invite(swarm, { administrators: [by], site: "beta", expiresInMs: HOUR_MS, uses, addresses: [] });

/** A copy of the roster as a newcomer gets it. */
const copyOf = (swarm: Swarm): Promise<Roster> =>
  Roster.create(
    { store: new MemoryStore(), clock: swarm.clock },
    { genesis: swarm.roster.genesisBytes, entries: swarm.roster.entries() },
  );

/** The founder's node and another; `a` founded, `b` was added, and has taken over from `a`. */
async function takenOver() {
  const swarm = await newSwarm({ administrators: [a] });
  const invited = invitation(swarm, a);
  await swarm.roster.applyAll(invited.delegations);
  const second = keysOf("second");
  await swarm.roster.apply(newcomer(swarm, invited, 0, second));
  await change(swarm, a, [a, b]);
  await change(swarm, b, [b]);
  return { ...swarm, invited, second };
}

describe("a change of the administrators", () => {
  it("lets the added one sign, and the next one follow", async () => {
    const swarm = await newSwarm({ administrators: [a] });
    const early = must(invitation(swarm, b).delegations[0], "delegation");
    const tooEarly = await faultFrom(() => swarm.roster.apply(early));
    expect(tooEarly.message).toContain("no administrator's");
    await change(swarm, a, [a, b]);
    expect(await swarm.roster.apply(early)).toBe("added");
    await change(swarm, b, [a, b, c]);
    expect(swarm.roster.administrators()).toMatchObject({ number: 2, threshold: 1 });
    expect(swarm.roster.administrators().keys.map(toHex)).toEqual(publicKeys([a, b, c]).map(toHex));
  });

  it("takes a key its say and keeps what it had signed and is in effect", async () => {
    const swarm = await takenOver();
    expect(swarm.roster.members()).toHaveLength(2);
    const fresh = must(invitation(swarm, a).delegations[0], "delegation");
    const refused = await faultFrom(() => swarm.roster.apply(fresh));
    expect(refused.message).toContain("former administrators only");
    const member = must(swarm.roster.member(swarm.second.peer), "second");
    const removal = removeMember(swarm, { administrators: [a], member, reason: "" });
    expect((await faultFrom(() => swarm.roster.apply(removal))).code).toBe("NOT_ALLOWED");
    const word = endorse(swarm, { administrator: a, entries: [fresh] });
    expect((await faultFrom(() => swarm.roster.apply(word))).code).toBe("NOT_ALLOWED");
    await swarm.roster.apply(signEndorsement(swarm.swarm, { ...word.body, set: 1 }, a));
    expect((await faultFrom(() => swarm.roster.apply(fresh))).code).toBe("NOT_ALLOWED");
    for (const copy of [must(await Roster.open(swarm), "roster"), await copyOf(swarm)]) {
      expect(copy.digest()).toEqual(swarm.roster.digest());
      expect(copy.members()).toEqual(swarm.roster.members());
      expect(copy.administrators()).toEqual(swarm.roster.administrators());
    }
  });

  it("ends the tokens of a key that leaves, except those that were used", async () => {
    const swarm = await takenOver();
    expect(swarm.roster.delegations()).toHaveLength(1);
    const late = newcomer(swarm, swarm.invited, 1, keysOf("late"));
    expect((await faultFrom(() => swarm.roster.apply(late))).message).toContain("delegation that it uses");
    expect(await swarm.roster.apply(must(invitation(swarm, b).delegations[0], "delegation"))).toBe("added");
  });

  it("ends what a key that leaves had announced, and keeps a removal in effect and a withdrawal", async () => {
    const swarm = await newSwarm({ administrators: [a, b] });
    const invited = invitation(swarm, b, 3);
    const [x, y, z] = [keysOf("x"), keysOf("y"), keysOf("z")];
    for (const [use, keys] of [x, y, z].entries())
      await swarm.roster.applyAll(delegated(swarm, invited, use, keys));
    const remove = (peer: typeof x.peer) =>
      removeMember(swarm, {
        administrators: [a],
        member: must(swarm.roster.member(peer), "member"),
        reason: "",
      });
    const gone = remove(x.peer);
    await swarm.roster.apply(gone);
    await swarm.roster.apply(endorse(swarm, { administrator: b, entries: [gone] }));
    expect(swarm.roster.member(x.peer)).toBeUndefined();
    const spared = removeMember(swarm, {
      administrators: [b],
      member: must(swarm.roster.member(y.peer), "member"),
      reason: "",
    });
    await swarm.roster.applyAll([spared, withdraw(swarm, { administrators: [a], entry: spared.hash })]);
    await swarm.roster.apply(remove(z.peer));
    expect(swarm.roster.pending()).toHaveLength(1);
    await change(swarm, b, [b]);
    expect(swarm.roster.pending()).toEqual([]);
    expect(swarm.roster.member(x.peer)).toBeUndefined();
    await swarm.clock.advance(3 * DAY_MS);
    expect(swarm.roster.member(y.peer)).toBeDefined();
    expect(swarm.roster.member(z.peer)).toBeDefined();
    expect((await copyOf(swarm)).members()).toEqual(swarm.roster.members());
  });

  it("keeps it over further changes, and when the key comes back", async () => {
    const swarm = await takenOver();
    await change(swarm, b, [b, c]);
    await change(swarm, c, [c]);
    await change(swarm, c, [c, a]);
    await change(swarm, a, [a]);
    expect(swarm.roster.members()).toHaveLength(2);
    expect(swarm.roster.administrators().number).toBe(6);
    expect((await copyOf(swarm)).digest()).toEqual(swarm.roster.digest());
  });

  it("with a higher threshold keeps what fewer had signed", async () => {
    const swarm = await newSwarm({ administrators: [a, b] });
    await swarm.roster.applyAll(delegated(swarm, invitation(swarm, a), 0, keysOf("second")));
    await change(swarm, a, [a, b], 2);
    expect(swarm.roster.members()).toHaveLength(2);
    const alone = must(invitation(swarm, a).delegations[0], "delegation");
    expect((await faultFrom(() => swarm.roster.apply(alone))).message).toContain("1 of the 2");
    await swarm.roster.apply(endorse(swarm, { administrator: b, entries: [alone] }));
    expect(await swarm.roster.apply(alone)).toBe("added");
  });

  it("travels in pages, each list before the change that names it", async () => {
    const swarm = await takenOver();
    await change(swarm, b, [b, c]);
    await change(swarm, c, [c]);
    const { genesis, entries } = rosterPage(swarm.roster, {});
    const book = verifyRoster(genesis, entries);
    expect(book.authority.set.number).toBe(4);
    const cut = rosterPage(swarm.roster, {});
    const types = cut.entries.map((bytes) => decodeEntry(bytes).type);
    expect(types.indexOf("delegation")).toBeGreaterThan(types.lastIndexOf("administrators"));
    expect(types.indexOf("endorsement")).toBeLessThan(types.lastIndexOf("administrators"));
  });
});

describe("changes that are refused, each with its reason", () => {
  const body = (swarm: Swarm, changes: Partial<AdministratorsBody> = {}): AdministratorsBody => ({
    v: 1,
    number: 1,
    administrators: publicKeys([a, b]),
    threshold: 1,
    previous: swarm.roster.administrators().hash,
    keeps: [],
    issuedMs: swarm.clock.wallMs(),
    ...changes,
  });
  const cases: Record<
    string,
    { changes?: Partial<AdministratorsBody>; by?: Signer[]; code?: string; says: string }
  > = {
    "by a stranger": { by: [signer("thief")], says: "no administrator's" },
    "by an administrator and a stranger": { by: [a, signer("thief")], says: "no administrator's" },
    "that leaps over a number": { changes: { number: 2 }, says: "it follows are not known" },
    "that follows something else": {
      changes: { previous: new Uint8Array(32) },
      says: "other administrators",
    },
    "that nobody could sign for": { changes: { threshold: 3 }, code: "FORMAT_INVALID", says: "threshold" },
    "with one key twice": {
      changes: { administrators: publicKeys([a, a]) },
      code: "FORMAT_INVALID",
      says: "make up",
    },
    "whose lists are not there": { changes: { keeps: [new Uint8Array(32)] }, says: "not known" },
    "with one signature twice": { by: [a, a], code: "SIGNATURE_INVALID", says: "twice" },
  };
  for (const [name, { changes, by, code, says }] of Object.entries(cases)) {
    it(name, async () => {
      const swarm = await newSwarm({ administrators: [a] });
      const digest = swarm.roster.digest();
      const entry = signAdministrators(swarm.swarm, body(swarm, changes), by ?? [a]);
      const fault = await faultFrom(() => swarm.roster.apply(entry.bytes));
      expect({ code: fault.code, message: fault.message }).toMatchObject({ code: code ?? "NOT_ALLOWED" });
      expect(fault.message).toContain(says);
      expect(swarm.roster.digest()).toEqual(digest);
      expect(swarm.roster.administrators().number).toBe(0);
    });
  }

  it("of another swarm, and forged", async () => {
    const swarm = await newSwarm({ administrators: [a] });
    const other = await newSwarm({ administrators: [a], name: "other" });
    const foreign = signAdministrators(other.swarm, body(other), [a]);
    expect((await faultFrom(() => swarm.roster.apply(foreign))).message).toContain("another swarm");
    const borrowed = { ...signer("thief"), publicKey: a.publicKey };
    const forged = signAdministrators(swarm.swarm, body(swarm), [borrowed]);
    expect((await faultFrom(() => swarm.roster.apply(forged))).message).toContain("does not match");
  });

  it("by fewer than the threshold of those before", async () => {
    const swarm = await newSwarm({ administrators: [a, b], threshold: 2 });
    const fault = await faultFrom(() =>
      swarm.roster.apply(signAdministrators(swarm.swarm, body(swarm), [a])),
    );
    expect(fault.message).toContain("1 of the 2");
  });

  it("an old one again changes nothing", async () => {
    const swarm = await takenOver();
    const old = must(
      swarm.roster.sortedEntries().find((entry) => entry.type === "administrators"),
      "first change",
    );
    expect(await swarm.roster.apply(old)).toBe("known");
    expect(swarm.roster.administrators().number).toBe(2);
  });
});

describe("two changes with one number", () => {
  const rival = (swarm: Swarm, by: readonly Signer[], keys: readonly Signer[], issuedMs = 1) =>
    signAdministrators(
      swarm.swarm,
      {
        v: 1,
        number: 1,
        administrators: publicKeys(keys),
        threshold: 1,
        previous: must(swarm.roster.administratorSets()[0], "set").hash,
        keeps: [],
        issuedMs,
      },
      by,
    );

  it("end with the same one on every node, whichever came first", async () => {
    const swarm = await newSwarm({ administrators: [a, b, c] });
    const before = swarm.roster.administrators();
    const byMany = rival(swarm, [b, c], [b, c]);
    const byElder = rival(swarm, [a], [a, b]);
    const byYounger = rival(swarm, [b], [b]);
    expect(compareChanges(byMany, byElder, before)).toBeLessThan(0);
    expect(compareChanges(byElder, byYounger, before)).toBeLessThan(0);
    for (const order of [
      [byMany, byElder, byYounger],
      [byYounger, byElder, byMany],
      [byElder, byMany, byYounger],
    ]) {
      const roster = await copyOf(swarm);
      const outcomes = await roster.applyAll(order);
      expect(roster.administrators().hash).toEqual(byMany.hash);
      expect(outcomes.every((one) => one === "added" || isFault(one, "ADMINISTRATORS_FORKED"))).toBe(true);
    }
  });

  it("are both remembered, over a restart, until somebody has had a month to look", async () => {
    const swarm = await newSwarm({ administrators: [a, b, c] });
    const changes: number[] = [];
    swarm.roster.onChange(({ rivals }) => void changes.push(rivals.length));
    await swarm.roster.apply(rival(swarm, [b], [b]));
    expect(swarm.roster.administratorForks()).toEqual([]);
    const elder = rival(swarm, [a], [a, b]);
    await swarm.roster.apply(elder);
    const lost = rival(swarm, [c], [c]);
    for (let again = 0; again < 2; again++) {
      expect((await faultFrom(() => swarm.roster.apply(lost))).code).toBe("ADMINISTRATORS_FORKED");
    }
    expect(changes).toEqual([0, 1, 1]);
    await swarm.clock.advance(DAY_MS);
    // What would have counted a day ago counts for those who heard of it then.
    await faultFrom(() => swarm.roster.apply(rival(swarm, [a, b], [b, c])));
    for (const roster of [swarm.roster, must(await Roster.open(swarm), "roster")]) {
      const forks = roster.administratorForks().map(({ rival: { signatures }, isApart }) => ({
        signers: signatures.map(({ signer: by }) => toHex(by)),
        isApart,
      }));
      expect(forks).toHaveLength(3);
      expect(forks).toContainEqual({ signers: [toHex(b.publicKey)], isApart: false });
      expect(forks).toContainEqual({ signers: [toHex(c.publicKey)], isApart: false });
      expect(forks).toContainEqual({
        signers: [a, b].map(({ publicKey }) => toHex(publicKey)),
        isApart: true,
      });
    }
    for (let made = 0; made < 30; made++)
      await faultFrom(() => swarm.roster.apply(rival(swarm, [c], [c], made + 2)));
    expect(swarm.roster.administratorForks()).toHaveLength(16);
    await swarm.clock.advance(31 * DAY_MS);
    expect(swarm.roster.administratorForks()).toEqual([]);
  });

  it("are no fork where the other one is forged", async () => {
    const swarm = await newSwarm({ administrators: [a, b] });
    await swarm.roster.apply(rival(swarm, [a], [a]));
    const forged = rival(swarm, [{ ...signer("thief"), publicKey: b.publicKey }], [b]);
    expect((await faultFrom(() => swarm.roster.apply(forged))).code).toBe("SIGNATURE_INVALID");
    expect(swarm.roster.administratorForks()).toEqual([]);
  });

  it("a thief does not win by seeking a low hash, nor rewrite a change that is a day old", async () => {
    const swarm = await newSwarm({ administrators: [a, b] });
    const honest = rival(swarm, [a], [a]);
    await swarm.roster.apply(honest);
    for (let tried = 0; tried < 50; tried++) {
      const sought = rival(swarm, [b], [b], tried);
      expect((await faultFrom(() => swarm.roster.apply(sought))).code).toBe("ADMINISTRATORS_FORKED");
    }
    const elder = await newSwarm({ administrators: [a, b] });
    await elder.roster.apply(rival(elder, [b], [b]));
    await elder.clock.advance(DAY_MS);
    const late = rival(elder, [a], [a]);
    expect((await faultFrom(() => elder.roster.apply(late))).code).toBe("ADMINISTRATORS_FORKED");
    const newcomers = await copyOf(elder);
    expect((await faultFrom(() => newcomers.apply(late))).code).toBe("ADMINISTRATORS_FORKED");
  });
});
