import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { execFileSync } from "node:child_process";
import { scratchDirectories } from "../support/scratch.ts";
import { Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

test("smoke", async () => {
  const swarm = await Swarm.create({ sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"] });
  const dir = join(scratch(), "src");
  mkdirSync(join(dir, "sub"), { recursive: true });
  for (let i = 0; i < 20; i++) writeFileSync(join(dir, "sub", `f${i}`), swarm.rng.bytes(i * 3000));
  const owner = swarm.member(0);
  const result = await swarm.clock.during(owner.snapshot([dir]));
  console.log(result.classes, result.protection, result.segments, result.bytesNew, result.bytesStored);
  const out = scratch();
  const restored = await swarm.clock.during(owner.restore(out));
  console.log(restored);
  for (const l of swarm.members.flatMap((m) => m.log)) if (l.level === "warn" || l.level === "error") console.log(l);
  execFileSync("diff", ["-r", "--no-dereference", dir, out + dir]);
  expect(result.protection.state).toBe("full");
  await swarm.stop();
});
