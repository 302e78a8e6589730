import { expect, it } from "vitest";
import { DAY_MS, MINUTE_MS } from "../../src/base/units.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { newIdentity } from "../../src/node/index.ts";
import { recoveryUseBody } from "../../src/wire/recovery-use.ts";
import { beginRecovery, recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// Whoever uses a recovery key is seen by the members that it asks, and the owner hears of it.

const scratch = scratchDirectories();
const told = (owner: Machine) => owner.logged("recovery-identity-used").map(({ fields }) => fields);

it("the owner's node hears of every use once, over restarts, for 30 days", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "c"] });
  const [owner, via] = [swarm.member(0), swarm.member(2)];
  await swarm.clock.during(owner.snapshot([buildPlainTree(scratch(), swarm.rng, 5)]));
  expect(owner.node.recoveryWatch.uses()).toEqual([]);
  // Somebody looks, and fences nobody.
  const onto = swarm.newMachine("fresh", "a");
  await swarm.clock.during(beginRecovery(onto, owner.identity.recovery, via));
  await swarm.clock.advance(3 * MINUTE_MS);
  const uses = owner.node.recoveryWatch.uses();
  const atVia = uses.find(({ member }) => member === via.peer);
  expect(atVia).toMatchObject({ owner: owner.identity.keys.owner, hellos: 1, reads: 1, submits: 0 });
  expect(owner.node.standing.state).toBe("member");
  const said = told(owner).filter(({ member }) => member === via.peer);
  expect(said.at(-1)).toMatchObject({ hellos: 1, reads: 1, submits: 0 });
  // Nobody else is told: it is not their key.
  expect(told(swarm.member(1))).toEqual([]);
  const before = told(owner).length;
  await owner.stop();
  await owner.start();
  await swarm.settle();
  await swarm.clock.advance(2 * MINUTE_MS);
  expect(told(owner)).toHaveLength(before);
  expect(owner.node.recoveryWatch.uses()).toEqual(uses);
  // Once more, a while later, while the owner is off.
  await owner.stop();
  await swarm.clock.advance(20 * MINUTE_MS);
  await swarm.clock.during(beginRecovery(swarm.newMachine("again", "a"), owner.identity.recovery, via));
  await swarm.clock.advance(3 * MINUTE_MS);
  await owner.start();
  await swarm.settle();
  await swarm.clock.advance(2 * MINUTE_MS);
  const anew = told(owner)
    .slice(before)
    .find(({ member }) => member === via.peer);
  expect(anew).toMatchObject({ hellos: 2, reads: 2, submits: 0 });
  // A month later it is over, for everybody.
  for (const machine of swarm.members) await machine.stop();
  await swarm.clock.jump(31 * DAY_MS);
  for (const machine of swarm.members) await machine.start();
  await swarm.settle();
  expect(owner.node.recoveryWatch.uses()).toEqual([]);
  for (const { node } of swarm.members) await node.records.prune();
  await swarm.clock.advance(2 * MINUTE_MS);
  for (const { node } of swarm.members) expect([...node.records.ofType("recovery-use")]).toEqual([]);
  await swarm.stop();
});

it("the new node of a recovered owner is told of it, too", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "c"] });
  const lost = swarm.member(1);
  await swarm.clock.during(lost.snapshot([buildPlainTree(scratch(), swarm.rng, 5)]));
  lost.crash();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, lost, swarm.member(2)));
  await swarm.clock.advance(3 * MINUTE_MS);
  const submits = fresh.node.recoveryWatch.uses().reduce((sum, use) => sum + use.submits, 0);
  expect(submits).toBe(1);
  expect(told(fresh).length).toBeGreaterThan(0);
  await swarm.stop();
});

it("a member's word counts for itself alone, within the rules", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
  const [owner, other] = [swarm.member(0), swarm.member(1)];
  const { node } = owner;
  const nowMs = swarm.clock.wallMs();
  const use = {
    v: 1 as const,
    owner: owner.identity.keys.owner,
    recovery: owner.identity.recovery.identity.publicKey,
    hellos: 1,
    reads: 0,
    submits: 0,
    firstMs: nowMs,
    lastMs: nowMs,
  };
  const put = (changes: Partial<typeof use>, signer = other.identity.node) => {
    const body = recoveryUseBody.encode({ ...use, ...changes });
    const { swarm: id } = node.roster;
    const epoch = Math.floor(nowMs / 1000);
    return node.records.put(
      signStatement({ type: "recovery-use", swarm: id, incarnation: NO_INCARNATION, epoch, body }, signer),
    );
  };
  const stranger = newIdentity(swarm.rng.fork("stranger")).node;
  await expect(put({}, stranger)).rejects.toMatchObject({ code: "NOT_A_MEMBER" });
  await expect(put({}, owner.identity.recovery.identity)).rejects.toMatchObject({ code: "NOT_A_MEMBER" });
  await expect(put({ lastMs: nowMs + DAY_MS })).rejects.toMatchObject({ code: "NOT_ALLOWED" });
  await expect(put({ lastMs: nowMs - 30 * DAY_MS })).rejects.toMatchObject({ code: "RECORD_STALE" });
  expect(await put({})).toBe("added");
  expect(node.recoveryWatch.uses().map(({ member }) => member)).toEqual([other.peer]);
  await swarm.stop();
});
