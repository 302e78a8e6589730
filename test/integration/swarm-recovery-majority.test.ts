import { expect, it } from "vitest";
import { beginRecovery } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

it("the loss of any site that the snapshot survives leaves a majority, even of a repository of one small segment", async () => {
  for (const site of ["a", "b", "c"]) {
    const swarm = await Swarm.create({ sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"] });
    const owner = swarm.member(0);
    const source = put(scratch(), "file", swarm.rng.bytes(10_000));
    await swarm.clock.during(owner.snapshot([source]));
    owner.crash();
    for (const machine of swarm.members) {
      if (machine.isRunning && machine.node.roster.member(machine.peer)?.site === site) machine.crash();
    }
    const via = swarm.member(site === "c" ? 4 : 8);
    const onto = swarm.newMachine("fresh", "a");
    const { pool } = await swarm.clock.during(beginRecovery(onto, owner.identity.recovery, via));
    expect(pool.pool.answered * 2, site).toBeGreaterThan(pool.pool.members);
    // Not the holders alone, of which one site may be half.
    expect(pool.pool.members).toBe(8);
    await swarm.stop();
  }
});
