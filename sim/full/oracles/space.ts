import { toHex } from "../../../src/base/bytes.ts";
import { shardKey } from "../../../src/base/ids.ts";
import { liveList } from "../../../src/wire/live-set.ts";
import { isOmitted } from "../deletions.ts";
import type { SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** At the end of a calm that was long enough: what an owner has given up lies nowhere any more, but where something binds it. */
export function checkSpace(world: World): void {
  const label = world.labels.has("log shard-deleted")
    ? "deletion: space came back"
    : "deletion: nothing was freed";
  world.label(label);
  if (!world.machines.every(isWell) || world.plan.faults.some(({ kind }) => kind === "thief")) return;
  for (const owner of world.machines) {
    const { live, catalog } = owner.node.repository;
    if (live.state === undefined || live.standing()?.missing !== 0) continue;
    if (world.braked.has(catalog.owner)) continue;
    const list = liveList.decode(live.state.list);
    for (const holder of world.machines) {
      const { locks, sweep } = holder.node;
      for (const { id } of holder.shardDisk.sorted()) {
        const isBound = locks.lockedForMs(id) > 0 || sweep.promises.isPromised(id);
        if (id.owner !== catalog.owner || isBound || !isOmitted(list, id)) continue;
        world.violate("space-returns", `${shardKey(id)} was given up and lies there still`, holder);
      }
    }
  }
}

function isWell(machine: SimMachine): boolean {
  return machine.isOn && machine.isHonest && !machine.wasRolledBack && !machine.isDead;
}

/** What was forgotten is off the list. */
export async function checkListed(world: World): Promise<void> {
  for (const machine of world.living()) {
    if (!machine.isOn || machine.wasRolledBack || machine.node.isFenced) continue;
    const { repository } = machine.node;
    for (const entry of await repository.snapshots()) {
      const known = world.truth.snapshots.find(({ id }) => id === toHex(entry.id));
      if (known?.fate === "forgotten" && machine.isFirstHome)
        world.violate("snapshot-listed", `${known.id.slice(0, 12)} was forgotten and is listed`, machine);
    }
  }
}
