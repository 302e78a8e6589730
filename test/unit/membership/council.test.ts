import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import type { Signer } from "../../../src/crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../../../src/crypto/signed.ts";
import { certifyAnew, endorse, invite, removeMember, withdraw } from "../../../src/membership/administer.ts";
import {
  decisionOf,
  type ProposalStanding,
  signProposal,
  standingOf,
} from "../../../src/membership/council.ts";
import { type RosterEntry, signAdministrators, signEndorsement } from "../../../src/membership/entry.ts";
import { type Approval, proposalId, readApproval, readProposal } from "../../../src/membership/proposals.ts";
import { RecordStore } from "../../../src/membership/records.ts";
import { Roster } from "../../../src/membership/roster.ts";
import { changeAdministrators } from "../../../src/membership/succession.ts";
import { approvalBody, proposalBody } from "../../../src/wire/proposal.ts";
import { delegated } from "./entries.ts";
import { faultFrom, keysOf, MemoryStore, newSwarm, signer } from "./world.ts";

const [a, b, c, thief] = [signer("a"), signer("b"), signer("c"), signer("thief")];
type Swarm = Awaited<ReturnType<typeof swarmOfThree>>;

/** Two of three must sign; a member beside the founder's node. */
async function swarmOfThree() {
  const swarm = await newSwarm({ administrators: [a, b, c], threshold: 2 });
  const invited = invite(swarm, {
    administrators: [a, b],
    site: "beta",
    expiresInMs: HOUR_MS,
    uses: 1,
    addresses: [],
  });
  const keys = keysOf("second");
  await swarm.roster.applyAll(delegated(swarm, invited, 0, keys));
  const member = must(swarm.roster.member(keys.peer), "second");
  const records = await RecordStore.open({
    store: new MemoryStore(),
    roster: swarm.roster,
    clock: swarm.clock,
    log: SILENT_LOG,
  });
  return { ...swarm, records, member };
}

const times = (swarm: Swarm) => {
  const issuedMs = swarm.clock.wallMs();
  return { issuedMs, expiresMs: issuedMs + DAY_MS, keptMs: issuedMs + DAY_MS };
};

function propose(swarm: Swarm, by: Signer, entries: readonly RosterEntry[], slot = 0) {
  const body = proposalBody.encode({
    v: 1,
    slot,
    entries: entries.map(({ bytes }) => bytes),
    ...times(swarm),
  });
  const statement = {
    type: "proposal" as const,
    swarm: swarm.swarm,
    incarnation: NO_INCARNATION,
    epoch: 1,
    body,
  };
  return signStatement(statement, by);
}

function approve(swarm: Swarm, by: Signer, entries: readonly RosterEntry[], changes = {}) {
  const proposal = must(readProposal(propose(swarm, a, entries)), "proposal");
  const signed = signProposal({ roster: swarm.roster, nowMs: swarm.clock.wallMs() }, proposal, by);
  const body = approvalBody.encode({
    v: 1,
    slot: 0,
    proposal: proposal.id,
    verdict: "signed",
    ...signed,
    ...times(swarm),
    ...changes,
  });
  const statement = {
    type: "approval" as const,
    swarm: swarm.swarm,
    incarnation: NO_INCARNATION,
    epoch: 1,
    body,
  };
  return signStatement(statement, by);
}

function standing(
  swarm: Pick<Swarm, "roster" | "clock">,
  record: ReturnType<typeof propose>,
  approvals: readonly Approval[] = [],
): ProposalStanding {
  const proposal = must(readProposal(record), "proposal");
  return must(standingOf(proposal, approvals, swarm.roster, swarm.clock.wallMs()), "standing");
}

const removal = (swarm: Swarm, by: Signer) =>
  removeMember(swarm, { administrators: [by], member: swarm.member, reason: "" });

const copyOf = (swarm: Swarm): Promise<Roster> =>
  Roster.create(
    { store: new MemoryStore(), clock: swarm.clock },
    { genesis: swarm.roster.genesisBytes, entries: swarm.roster.entries() },
  );

describe("a decision of several", () => {
  it("has the same bytes whichever signatures were gathered where, and nodes end alike", async () => {
    const swarm = await swarmOfThree();
    const entry = removal(swarm, a);
    const record = propose(swarm, a, [entry]);
    const [byB, byC] = [b, c].map((by) => readApproval(approve(swarm, by, [entry])));
    const [here, there] = [await copyOf(swarm), await copyOf(swarm)];
    const withB = standing(swarm, record, [must(byB, "b")]);
    const withC = standing(swarm, record, [must(byC, "c")]);
    expect(withB).toMatchObject({ state: "complete", missing: 0 });
    await here.applyAll(decisionOf(withB, [must(byB, "b")], here));
    await there.applyAll(decisionOf(withC, [must(byC, "c")], there));
    for (const roster of [here, there]) expect(roster.member(swarm.member.peer)).toBeUndefined();
    await here.applyAll(there.entries());
    await there.applyAll(here.entries());
    expect(here.digest()).toEqual(there.digest());
    expect(here.supporters(entry).size).toBe(3);
    expect(standing({ ...swarm, roster: here }, record).state).toBe("done");
  });

  it("changes the administrators with signatures of its own, and the lower hash alone decides between two", async () => {
    const swarm = await swarmOfThree();
    const keys = [a, b].map(({ publicKey }) => publicKey);
    const decide = async (next: readonly Uint8Array[], by: Signer): Promise<Roster> => {
      const roster = await copyOf(swarm);
      const { lists, change } = changeAdministrators(
        { roster, clock: swarm.clock },
        { administrators: [a], keys: next, threshold: 2 },
      );
      const record = propose(swarm, a, [...lists, change]);
      const approval = readApproval(approve(swarm, by, [...lists, change]));
      const done = decisionOf(standing({ ...swarm, roster }, record, [approval]), [approval], roster);
      for (const outcome of await roster.applyAll(done)) expect(outcome).toBe("added");
      expect(roster.members()).toHaveLength(2);
      return roster;
    };
    const one = await decide(keys, b);
    const other = await decide(keys, c);
    const rival = await decide(
      [b, c].map(({ publicKey }) => publicKey),
      c,
    );
    expect(one.administrators().hash).toEqual(other.administrators().hash);
    for (const [left, right] of [
      [one, rival],
      [rival, other],
    ] as const) {
      await left.applyAll(right.entries());
    }
    expect(one.administrators().hash).toEqual(rival.administrators().hash);
  });

  it("is none with a signature under something else, of a stranger, twice, or too late", async () => {
    const swarm = await swarmOfThree();
    const entry = removal(swarm, a);
    const record = propose(swarm, a, [entry]);
    const other = removeMember(swarm, { administrators: [a], member: swarm.member, reason: "other" });
    const elsewhere = { ...readApproval(approve(swarm, b, [other])), proposal: proposalId([entry]) };
    const stranger = readApproval(approve(swarm, thief, [entry]));
    const own = readApproval(approve(swarm, a, [entry]));
    expect(standing(swarm, record, [elsewhere, stranger, own])).toMatchObject({ state: "open", missing: 1 });
    const good = readApproval(approve(swarm, b, [entry]));
    await swarm.clock.advance(DAY_MS);
    expect(standing(swarm, record, [good]).state).toBe("expired");
  });
});

describe("a thief of one key", () => {
  it("hides no entry of its own among those that a change of the administrators keeps", async () => {
    const swarm = await swarmOfThree();
    const [own] = invite(swarm, {
      administrators: [c],
      site: "evil",
      expiresInMs: HOUR_MS,
      addresses: [],
    }).delegations;
    const body = { v: 1 as const, set: 0, entries: [must(own, "delegation").hash], issuedMs: 1 };
    const list = signEndorsement(swarm.swarm, body, c);
    const change = signAdministrators(
      swarm.swarm,
      {
        v: 1,
        number: 1,
        administrators: [a, b, c].map(({ publicKey }) => publicKey),
        threshold: 2,
        previous: swarm.roster.administrators().hash,
        keeps: [list.hash],
        issuedMs: swarm.clock.wallMs(),
      },
      [c],
    );
    const shown = standing(swarm, propose(swarm, c, [list, change]));
    expect(shown).toMatchObject({ state: "outdated" });
    expect(shown.why).toContain("not known here");
  });

  it("gets nothing into the roster alone, whatever it signs and however often", async () => {
    const swarm = await swarmOfThree();
    const { member, roster } = swarm;
    const [administrators, before] = [[c], roster.digest()];
    const invited = invite(swarm, { administrators, site: "evil", expiresInMs: HOUR_MS, addresses: [] });
    const { change } = changeAdministrators(swarm, { administrators, keys: [c.publicKey], threshold: 1 });
    const lowered = changeAdministrators(swarm, {
      administrators,
      keys: [a, b, c].map(({ publicKey }) => publicKey),
      threshold: 1,
    });
    const entries = [
      ...invited.delegations,
      removal(swarm, c),
      certifyAnew(swarm, { administrators, member, changes: { site: "evil" } }),
      certifyAnew(swarm, { administrators, member, changes: { quotaBytes: 1 } }),
      withdraw(swarm, { administrators, entry: member.certificateHash }),
      change,
      lowered.change,
    ];
    for (const entry of entries) {
      const fault = await faultFrom(() => roster.apply(entry));
      expect({ type: entry.type, code: fault.code }).toEqual({ type: entry.type, code: "NOT_ALLOWED" });
    }
    expect(roster.digest()).toEqual(before);
    // Its own endorsement is its own signature a second time.
    for (let again = 0; again < 2; again++) {
      await swarm.clock.advance(1);
      await roster.apply(endorse(swarm, { administrator: c, entries }));
    }
    for (const outcome of await roster.applyAll(entries)) expect(outcome).toBeInstanceOf(Error);
    expect(roster.member(member.peer)).toEqual(member);
    expect(roster.administrators().number).toBe(0);
  });

  it("fills no roster with its word", async () => {
    const swarm = await swarmOfThree();
    const words = Array.from({ length: 4200 }, (_, issuedMs) =>
      signEndorsement(swarm.swarm, { v: 1, set: 0, entries: [new Uint8Array(32).fill(7)], issuedMs }, c),
    );
    const outcomes = await swarm.roster.applyAll(words);
    expect(outcomes.filter((one) => one === "added")).toHaveLength(4096);
    expect(await swarm.roster.apply(endorse(swarm, { administrator: b, entries: words.slice(0, 1) }))).toBe(
      "added",
    );
  });

  it("gets no record in that is malformed, another's, or of a key that is no administrator's", async () => {
    const swarm = await swarmOfThree();
    const put = async (record: ReturnType<typeof propose>) =>
      (await faultFrom(() => swarm.records.put(record))).code;
    const byA = removal(swarm, a);
    expect(await put(propose(swarm, thief, [removal(swarm, thief)]))).toBe("NOT_A_MEMBER");
    expect(await put(propose(swarm, c, [byA]))).toBe("FORMAT_INVALID");
    expect(await put(propose(swarm, a, [byA, removal(swarm, a)]))).toBe("FORMAT_INVALID");
    const forged = { ...c, publicKey: a.publicKey };
    expect(await put(propose(swarm, a, [removal(swarm, forged)]))).toBe("SIGNATURE_INVALID");
    expect(await put(approve(swarm, b, [byA], { verdict: "refused" }))).toBe("FORMAT_INVALID");
    expect(await put(approve(swarm, b, [byA], { keptMs: swarm.clock.wallMs() + 40 * DAY_MS }))).toBe(
      "FORMAT_INVALID",
    );
    expect(await swarm.records.put(propose(swarm, a, [byA]))).toBe("added");
    expect(await swarm.records.put(approve(swarm, b, [byA]))).toBe("added");
  });
});
