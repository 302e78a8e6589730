import { readTrail } from "../../../src/node/index.ts";
import type { SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** In the calm: every trail is whole, and everything that was forgotten from this home is in it. */
export async function checkTrails(world: World): Promise<void> {
  for (const machine of world.living())
    if (machine.isOn && !machine.wasRolledBack && !machine.node.isFenced) await checkTrail(world, machine);
}

async function checkTrail(world: World, machine: SimMachine): Promise<void> {
  const { node } = machine;
  const parts = { ...node.repository.trailParts(), roster: node.roster };
  const { entries, problems } = await readTrail(parts, new AbortController().signal);
  const [first] = problems;
  if (first !== undefined) world.violate("trail", `entry ${first.sequence}: ${first.reason}`, machine);
  // What a home entered that is gone may have gone with it, up to the next head.
  if (!machine.isFirstHome || world.labels.has("log trail-entry-lost")) return;
  const told = new Set(
    entries.flatMap(({ body }) =>
      body.what === "forget"
        ? body.details.flatMap(([name, value]) => (name === "snapshot" ? [value] : []))
        : [],
    ),
  );
  for (const { id, owner, fate } of world.truth.snapshots) {
    if (owner !== machine.identity.keys.owner || fate !== "forgotten") continue;
    world.label("trail: a forget is told");
    if (!told.has(id))
      world.violate("trail", `${id.slice(0, 12)} was forgotten, and no entry says so`, machine);
  }
}
