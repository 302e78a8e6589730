import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { MINUTE_MS } from "../../src/base/units.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

function link(swarm: Swarm, left: readonly Machine[], right: readonly Machine[], open: boolean): void {
  for (const a of left) {
    for (const b of right) {
      if (open) swarm.networks.heal(a.peer, b.peer);
      else swarm.networks.cut(a.peer, b.peer);
    }
  }
}

/** One use of a token, taken on both sides of a partition. */
async function usedTwice() {
  const swarm = await Swarm.create({ sites: ["a", "b"], seed: "token twice" });
  const [one, other] = [swarm.member(0), swarm.member(1)];
  const { token } = await one.node.invite({ site: "c", expiresMs: 60 * MINUTE_MS, uses: 1 });
  await swarm.settle();
  link(swarm, [one], [other], false);
  const [left, right] = [swarm.newMachine("left", "c"), swarm.newMachine("right", "c")];
  await left.joinWith(token, one);
  await right.joinWith(token, other);
  link(swarm, [left], [other, right], false);
  link(swarm, [right], [one], false);
  for (const machine of [left, right]) {
    swarm.members.push(machine);
    await machine.start();
  }
  await swarm.settle();
  expect([left, right].map((machine) => machine.node.standing.state)).toEqual(["member", "member"]);
  return { swarm, one, other, left, right };
}

const certificate = (seen: Machine, of: Machine) => seen.node.roster.member(of.peer)?.certificateHash;

it("a use of a token that was taken twice ends with one member, and the other is told who it is", async () => {
  const { swarm, one, other, left, right } = await usedTwice();
  const hashes = [certificate(one, left), certificate(other, right)].map((hash) => must(hash, "certificate"));
  const isLeft = Buffer.compare(must(hashes[0], "left"), must(hashes[1], "right")) < 0;
  const [winner, loser] = isLeft ? [left, right] : [right, left];
  link(swarm, [one, left], [other, right], true);
  await swarm.settle();
  await swarm.clock.advance(MINUTE_MS);
  await swarm.settle();

  for (const machine of [one, other, winner]) {
    expect(machine.node.roster.member(winner.peer)?.peer).toBe(winner.peer);
    expect(machine.node.roster.member(loser.peer)).toBeUndefined();
    expect(machine.node.standing.state).toBe("member");
  }
  expect(loser.node.standing).toMatchObject({ state: "unlisted", by: winner.peer });
  expect(loser.logged("fenced").at(-1)?.fields).toMatchObject({ state: "unlisted", by: winner.peer });
  const file = join(scratch(), "file");
  writeFileSync(file, "lost");
  await expect(swarm.clock.during(loser.snapshot([file]))).rejects.toMatchObject({ code: "NOT_A_MEMBER" });
  // It says so after a restart too, and one that was away when it was decided hears it later.
  await loser.stop();
  await loser.start();
  expect(loser.node.standing).toMatchObject({ state: "unlisted", by: winner.peer });
  await swarm.stop();
});

it("one that was switched off while the others found out is told when it is back", async () => {
  const { swarm, one, other, left, right } = await usedTwice();
  const hashes = [certificate(one, left), certificate(other, right)].map((hash) => must(hash, "certificate"));
  const isLeft = Buffer.compare(must(hashes[0], "left"), must(hashes[1], "right")) < 0;
  const [winner, loser] = isLeft ? [left, right] : [right, left];
  await loser.stop();
  link(swarm, [one, left], [other, right], true);
  await swarm.settle();
  await swarm.clock.advance(MINUTE_MS);
  // Those who know it are restarted in between.
  for (const machine of [one, other]) {
    await machine.stop();
    await machine.start();
  }
  await loser.start();
  await swarm.settle();
  await swarm.clock.advance(2 * MINUTE_MS);
  await swarm.settle();
  expect(loser.node.standing).toMatchObject({ state: "unlisted", by: winner.peer });
  await swarm.stop();
});
