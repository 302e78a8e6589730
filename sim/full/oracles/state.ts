import { shardKey } from "../../../src/base/ids.ts";
import type { SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** Looks at all disks and all nodes, as no node can, for what must never be so. Cheap enough for every virtual hour. */
export function checkState(world: World): void {
  for (const machine of world.machines) {
    if (machine.isDead) continue;
    checkPromises(world, machine);
    checkRoom(world, machine);
    if (machine.isOn) checkSuspicions(world, machine);
  }
}

/** What a holder gave a receipt for lies on its disk, unless an injected fault took it. */
function checkPromises(world: World, machine: SimMachine): void {
  const { truth } = world;
  if (!machine.isHonest) return;
  for (const { machine: holder, shard } of truth.receipts.values()) {
    if (holder !== machine || truth.isDamaged(machine, shard) || truth.isIntact(machine, shard)) continue;
    world.violate("acknowledged-kept", `${shardKey(shard)} was acknowledged and is not on the disk`, machine);
    return;
  }
}

function checkRoom(world: World, machine: SimMachine): void {
  const { capacityBytes } = machine.init.plan;
  const usedBytes = machine.shardDisk.usedBytes();
  if (usedBytes > capacityBytes)
    world.violate("capacity", `${usedBytes} bytes are kept, and there is room for ${capacityBytes}`, machine);
}

/** Nobody holds anything against a machine that was always honest and that no fault took anything from. */
function checkSuspicions(world: World, machine: SimMachine): void {
  const { audits } = machine.node;
  for (const peer of audits.book.holders().keys()) {
    const suspect = world.byPeer(peer);
    const why = audits.book.suspicion(peer);
    if (why === undefined || suspect === undefined || !suspect.isHonest || suspect.wasRolledBack) continue;
    if ([...world.truth.damaged].some((key) => key.startsWith(`${peer} `))) continue;
    world.violate(
      "no-false-blame",
      `${suspect.name} is suspect and did nothing: ${JSON.stringify(why)}`,
      machine,
    );
  }
}
