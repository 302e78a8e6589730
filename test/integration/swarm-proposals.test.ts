import { afterEach, describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { Fault } from "../../src/base/fault.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { proposalJson } from "../../src/control/node-proposals.ts";
import { certifyAnew } from "../../src/membership/index.ts";
import type { Deciding, ProposalStanding } from "../../src/node/index.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

let swarm: Swarm | undefined;
afterEach(async () => {
  await swarm?.stop();
  swarm = undefined;
});

const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error: unknown) => (error instanceof Fault ? error.code : "error"),
  );
const proposalOf = (deciding: Deciding | undefined): ProposalStanding => {
  if (deciding === undefined || deciding.outcome === "applied") throw new Error("it was applied at once");
  return deciding.proposal;
};
const REMOVAL = { reason: "", barsOwner: false };

/** Four nodes, the first three of them administrators, two of whom must sign. */
async function council(): Promise<{ swarm: Swarm; machines: readonly [Machine, Machine, Machine, Machine] }> {
  const made = await Swarm.create({ sites: ["a", "b", "c", "d"], seed: "proposals" });
  swarm = made;
  await made.clock.advance(MINUTE_MS);
  const [a, b, c, d] = made.members;
  const machines = [must(a, "a"), must(b, "b"), must(c, "c"), must(d, "d")] as const;
  const { administrators } = machines[0].node;
  await administrators.add("node1");
  await administrators.add("node2");
  await administrators.setThreshold(2);
  await made.settle();
  for (const { node } of machines) expect(node.administrators.set).toMatchObject({ threshold: 2 });
  return { swarm: made, machines };
}

const theirs = (machine: Machine): ProposalStanding =>
  must(machine.node.proposals.open()[0], "a proposal that waits");
const sign = (machine: Machine) =>
  machine.node.proposals.sign(theirs(machine), machine.node.administrators.key());

describe("two of three administrators must sign", () => {
  it("one alone removes nobody, and a second signature does it, with the first one off", async () => {
    const { swarm, machines } = await council();
    const [first, second, , target] = machines;
    const decided = await first.node.administration.remove("node3", REMOVAL);
    expect(decided).toMatchObject({ outcome: "deciding", deciding: { outcome: "proposed" } });
    await swarm.settle();
    for (const machine of machines) {
      expect(theirs(machine)).toMatchObject({ state: "open", missing: 1 });
      expect(machine.logged("proposal-made")).toHaveLength(1);
    }
    await swarm.clock.jump(3 * DAY_MS);
    await swarm.settle();
    for (const { node } of machines) expect(node.roster.members()).toHaveLength(4);
    await first.stop();
    const signed = proposalOf(await sign(second));
    expect(signed.state).toBe("done");
    await swarm.settle();
    for (const { node } of machines.slice(1)) {
      expect(node.roster.member(target.peer)).toBeUndefined();
      expect(node.proposals.open()).toEqual([]);
    }
    await first.start();
    await swarm.settle();
    expect(first.node.roster.member(target.peer)).toBeUndefined();
    expect(first.node.roster.digest()).toEqual(second.node.roster.digest());
  });

  it("the same command of another administrator is its signature", async () => {
    const { swarm, machines } = await council();
    const [first, second] = machines;
    await first.node.administration.remove("node3", REMOVAL);
    await swarm.settle();
    expect(await first.node.administration.remove("node3", REMOVAL)).toMatchObject({
      deciding: { outcome: "known" },
    });
    const other = await second.node.administration.remove("node3", REMOVAL);
    expect(other).toMatchObject({ deciding: { outcome: "signed", proposal: { state: "done" } } });
  });

  it("one alone changes no administrators, and neither the threshold", async () => {
    const { swarm, machines } = await council();
    const [first, second, third] = machines;
    const { administrators } = first.node;
    expect(await refusal(administrators.setThreshold(4))).toBe("USAGE");
    for (const [change, check] of [
      [() => administrators.setThreshold(3), { threshold: 3 }],
      [() => administrators.setThreshold(2), { threshold: 2 }],
      [() => administrators.remove(toHex(must(third.node.administrators.set.keys[2], "key"))), { number: 6 }],
    ] as const) {
      const before = administrators.set;
      await change();
      await swarm.settle();
      for (const { node } of machines) expect(node.administrators.set.hash).toEqual(before.hash);
      await sign(second);
      await swarm.settle();
      if (before.threshold === 3) {
        expect(theirs(third)).toMatchObject({ state: "open", missing: 1 });
        await sign(third);
        await swarm.settle();
      }
      for (const { node } of machines) expect(node.administrators.set).toMatchObject(check);
    }
    expect(administrators.set.keys).toHaveLength(2);
    for (const { node } of machines) expect(node.roster.members()).toHaveLength(4);
    expect(await refusal(administrators.remove("node1"))).toBe("NOT_ALLOWED");
  });

  it("a token lets nobody in before the second has signed, and nobody needs be online afterwards", async () => {
    const { swarm, machines } = await council();
    const [first, second, , fourth] = machines;
    const { token, deciding } = await first.node.invite({ site: "e", expiresMs: HOUR_MS, uses: 1 });
    expect(proposalOf(deciding).proposal.expiresMs).toBeLessThanOrEqual(swarm.clock.wallMs() + HOUR_MS);
    await swarm.settle();
    const late = swarm.newMachine("node4", "e");
    expect(await refusal(late.joinWith(token, fourth))).not.toBe("done");
    await sign(second);
    await swarm.settle();
    await first.stop();
    await second.stop();
    await late.joinWith(token, fourth);
    swarm.members.push(late);
    await late.start();
    await swarm.settle();
    expect(fourth.node.roster.members()).toHaveLength(5);
  });

  it("a token from before the threshold was raised stays good", async () => {
    const made = await Swarm.create({ sites: ["a", "b"], seed: "early token" });
    swarm = made;
    await made.clock.advance(MINUTE_MS);
    const founder = made.member(0).node;
    await founder.administrators.add("node1");
    const { token, deciding } = await founder.invite({ site: "e", expiresMs: HOUR_MS, uses: 1 });
    expect(deciding).toEqual({ outcome: "applied" });
    await founder.administrators.setThreshold(2);
    await made.settle();
    const late = made.newMachine("late", "e");
    await late.joinWith(token, made.member(1));
    await made.settle();
    for (const { node } of made.members) {
      expect(node.administrators.set.threshold).toBe(2);
      expect(node.roster.members()).toHaveLength(3);
    }
  });

  it("who joined while a change of the administrators waited is not lost by it", async () => {
    const { swarm, machines } = await council();
    const [first, second, third, fourth] = machines;
    const { token } = await second.node.invite({ site: "e", expiresMs: HOUR_MS, uses: 1 });
    await swarm.settle();
    const key = toHex(must(first.node.administrators.set.keys[2], "third's key"));
    await first.node.administrators.remove(key);
    await swarm.settle();
    // The third one, which is about to lose its key, signs the token: its word would fall with the key.
    const invitation = third.node.proposals
      .open()
      .find(({ proposal }) => proposal.deed.kind === "invitation");
    await third.node.proposals.sign(must(invitation, "invitation"), third.node.administrators.key());
    await swarm.settle();
    const late = swarm.newMachine("node4", "e");
    await late.joinWith(token, fourth);
    swarm.members.push(late);
    await late.start();
    await swarm.settle();
    expect(theirs(second)).toMatchObject({ state: "outdated" });
    expect(await refusal(sign(second))).toBe("NOT_ALLOWED");
    await first.node.proposals.withdraw(theirs(first), first.node.administrators.key());
    await first.node.administrators.remove(key);
    await swarm.settle();
    await sign(second);
    await swarm.settle();
    for (const { node } of swarm.members) {
      expect(node.administrators.set.keys).toHaveLength(2);
      expect(node.roster.members()).toHaveLength(5);
    }
  });

  it("what one signed while a threshold was raised elsewhere is proposed anew by itself, and nothing else is", async () => {
    const { swarm, machines } = await council();
    const [first, second, third, fourth] = machines;
    await first.node.administrators.setThreshold(1);
    await swarm.settle();
    await sign(second);
    await swarm.settle();
    expect(first.node.administrators.set.threshold).toBe(1);
    const early = await third.node.invite({ site: "f", expiresMs: HOUR_MS, uses: 1 });
    await swarm.settle();
    // At the same moment, before either has heard of the other.
    const [{ token, deciding }] = await Promise.all([
      second.node.invite({ site: "e", expiresMs: HOUR_MS, uses: 2 }),
      first.node.administrators.setThreshold(2),
    ]);
    expect(deciding).toEqual({ outcome: "applied" });
    await swarm.settle();
    expect(second.logged("decision-proposed-anew")).toMatchObject([
      { fields: { type: "delegation", outcome: "proposed" } },
    ]);
    for (const machine of [first, third]) {
      expect(machine.logged("decision-proposed-anew")).toEqual([]);
      expect(machine.node.proposals.open()).toMatchObject([
        { state: "open", missing: 1, proposal: { deed: { kind: "invitation" } } },
      ]);
    }
    const late = swarm.newMachine("node4", "e");
    expect(await refusal(late.joinWith(token, fourth))).not.toBe("done");
    await sign(third);
    await swarm.settle();
    for (const [name, site, by] of [
      ["node5", "e", token],
      ["node6", "e", token],
      ["node7", "f", early.token],
    ] as const) {
      const joined = swarm.newMachine(name, site);
      await joined.joinWith(by, fourth);
    }
    expect(fourth.node.roster.members()).toHaveLength(7);
  });

  it("refusing, taking back and time end a proposal", async () => {
    const { swarm, machines } = await council();
    const [first, second, third] = machines;
    const remove = () => first.node.administration.remove("node3", REMOVAL);
    await remove();
    await swarm.settle();
    await third.node.proposals.refuse(theirs(third), third.node.administrators.key());
    expect(
      await refusal(third.node.proposals.withdraw(theirs(third), second.node.administrators.key())),
    ).toBe("NOT_ALLOWED");
    await swarm.settle();
    expect(theirs(first).refusers.map(toHex)).toEqual([toHex(third.node.administrators.key().publicKey)]);
    await first.node.proposals.withdraw(theirs(first), first.node.administrators.key());
    await swarm.settle();
    for (const { node } of machines) expect(node.proposals.open()).toEqual([]);
    await remove();
    await swarm.settle();
    await swarm.clock.jump(8 * DAY_MS);
    await swarm.settle();
    expect(second.node.proposals.open()).toEqual([]);
    expect(second.node.roster.members()).toHaveLength(4);
  });

  it("a key that is taken away takes its proposals and signatures with it", async () => {
    const { swarm, machines } = await council();
    const [first, second, third] = machines;
    await third.node.administration.remove("node3", REMOVAL);
    await swarm.settle();
    const key = toHex(third.node.administrators.key().publicKey);
    await first.node.administrators.remove(key);
    await swarm.settle();
    const change = second.node.proposals
      .open()
      .find(({ proposal }) => proposal.deed.kind === "administrators");
    await second.node.proposals.sign(must(change, "change"), second.node.administrators.key());
    await swarm.settle();
    for (const { node } of machines)
      expect(node.proposals.list().filter(({ state }) => state !== "done")).toEqual([]);
    expect(await refusal(third.node.administration.remove("node3", REMOVAL))).toBe("NOT_ALLOWED");
    expect(first.node.roster.members()).toHaveLength(4);
  });

  it("no administrator has more than sixteen under way", async () => {
    const { swarm, machines } = await council();
    const [first] = machines;
    const invite = () => first.node.invite({ site: "e", expiresMs: HOUR_MS, uses: 1 });
    for (let made = 0; made < 16; made++) await invite();
    expect(await refusal(invite())).toBe("NOT_ALLOWED");
    await swarm.settle();
    const open = machines[3].node.proposals.open();
    expect(open).toHaveLength(16);
    await first.node.proposals.withdraw(must(open[3], "one"), first.node.administrators.key());
    await invite();
    await swarm.settle();
    expect(machines[3].node.proposals.open()).toHaveLength(16);
  });

  it("changes a quota, confirms nobody alone, and moves nobody alone", async () => {
    const { swarm, machines } = await council();
    const [first, second, , target] = machines;
    await first.node.administration.setQuota("node3", 5e9);
    await first.node.administration.moveSite("node3", "x");
    await swarm.settle();
    expect(first.node.roster.member(target.peer)).toMatchObject({ quotaBytes: undefined, site: "d" });
    await sign(second);
    await swarm.settle();
    expect(target.node.roster.member(target.peer)).toMatchObject({ quotaBytes: 5e9, site: "d" });
    // The move was to the certificate before this one.
    expect(theirs(second)).toMatchObject({ state: "outdated" });
  });

  it("says what is signed by what it does, whatever its author calls it", async () => {
    const { swarm, machines } = await council();
    const [first, second, , target] = machines;
    const { node } = first;
    await node.administration.remove("node3", { reason: "only a test", barsOwner: true });
    await node.administration.moveSite("node3", "x");
    await node.invite({ site: "e", expiresMs: HOUR_MS, uses: 2, quotaBytes: 2 ** 30 });
    await node.administrators.add("node3");
    await node.administrators.remove("node2");
    await node.administrators.setThreshold(1);
    const member = must(node.roster.member(target.peer), "target");
    const hidden = certifyAnew(
      { roster: node.roster, rng: swarm.rng, clock: swarm.clock },
      {
        administrators: [node.administrators.key()],
        member,
        changes: { quotaBytes: 2 ** 40, name: "other", capacityBytes: 2 ** 50, holder: false },
      },
    );
    await node.proposals.decide([hidden], node.administrators.key());
    await swarm.settle();
    const texts = second.node.proposals.open().map((one) => proposalJson(second.node, one).text);
    expect(texts.sort()).toEqual([
      "1 of 3 administrators must sign, instead of 2",
      "change node3 (d): quota from none to 1.00 TiB, name from node3 to other, capacity from 1.00 GiB to 1.00 PiB, it keeps no shards of others any more",
      "change node3 (d): site from d to x",
      expect.stringMatching(/^let 2 new nodes in at site e until \S+, quota 1.00 GiB$/),
      expect.stringMatching(/^make node3 \(key [0-9a-f]{12}\) an administrator$/),
      'remove node3 (d) from the swarm, and bar its recovery key ("only a test")',
      expect.stringMatching(/^take node2 \(key [0-9a-f]{12}\) its administrator's key$/),
    ]);
  });
});
