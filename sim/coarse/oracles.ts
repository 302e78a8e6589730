import { messageOf } from "../../src/base/fault.ts";
import { segmentKey, shardKey } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import type { SimMachine } from "../full/machine.ts";
import { checkVersions } from "../full/oracles/state.ts";
import type { Workload } from "../full/workload.ts";
import type { World } from "../full/world.ts";

/** Of so many nodes it is looked, each time, whether anything that they know went back: each knows thousands of things. */
const VERSIONS_SAMPLED = 8;
/** From its start, or its return from an absence (`returnStableMs`), to being known to everybody as up, by the field's clocks. */
const KNOWN_MS = 34 * MINUTE_MS;
/** A restore in a calm swarm. */
const TASK_MS = 2 * HOUR_MS;

/** The rules of the full tier that can be checked without looking at all pairs of nodes for each. */
export function checkCoarse(world: World): void {
  checkPromises(world);
  for (const machine of world.machines) {
    const usedBytes = machine.shardDisk.usedBytes();
    if (usedBytes > machine.init.plan.capacityBytes)
      world.violate("capacity", `${usedBytes} bytes are kept, more than there is room for`, machine);
    if (machine.isOn) checkSuspicions(world, machine);
  }
  const on = world.machines.filter((machine) => machine.isOn);
  for (let left = Math.min(VERSIONS_SAMPLED, on.length); left > 0; left--)
    checkVersions(world, world.checks.pick(on));
}

/** What a holder gave a receipt for lies on its disk, unless an injected fault took it. */
function checkPromises(world: World): void {
  const { truth } = world;
  for (const { machine, shard } of truth.receipts.values()) {
    if (machine.isDead || truth.isDamaged(machine, shard) || truth.isIntact(machine, shard)) continue;
    world.violate("acknowledged-kept", `${shardKey(shard)} was acknowledged and is not on the disk`, machine);
  }
}

/** Nobody in these swarms cheats: nobody is suspect but whom a fault took something from. */
function checkSuspicions(world: World, machine: SimMachine): void {
  const hit = new Set([...world.truth.damaged.values()].map((damage) => damage.machine));
  for (const { peer } of machine.node.roster.members()) {
    const suspect = world.byPeer(peer);
    const why = machine.node.audits.book.suspicion(peer);
    if (why === undefined || suspect === undefined || hit.has(suspect)) continue;
    world.violate("no-false-blame", `${suspect.name} is suspect and did nothing`, machine);
  }
}

/** Where nothing happened for a while everybody that runs knows of everybody whether it is up. */
export function checkKnown(world: World, factor: number): void {
  const { scheduler } = world;
  const isSettled = ({ onSinceMs }: SimMachine): boolean => scheduler.nowMs - onSinceMs > KNOWN_MS * factor;
  for (const machine of world.machines.filter((one) => one.isOn && isSettled(one))) {
    let wrong = 0;
    for (const [peer, { state }] of machine.node.presence.nodes()) {
      const other = world.byPeer(peer);
      if (other === undefined || other === machine || (other.isOn && !isSettled(other))) continue;
      if (other.isOn !== (state === "alive")) wrong++;
    }
    world.label(wrong === 0 ? "knows who is up" : "does not know who is up");
    if (wrong > 0) world.violate("knows-who-is-up", `it is wrong about ${wrong} of them`, machine);
  }
}

/** Every acknowledged snapshot of an owner that runs comes back, byte for byte. */
export async function checkRestorable(world: World, workload: Workload): Promise<void> {
  const there = world.living();
  for (const snapshot of world.truth.snapshots) {
    const owner = there.find(({ identity }) => identity.keys.owner === snapshot.owner);
    if (owner?.isOn !== true) continue;
    const isEnough = snapshot.segments.every(
      (id) => world.truth.segments.has(segmentKey(id)) && world.truth.margin(id, there) >= 0,
    );
    const short = snapshot.id.slice(0, 12);
    if (!isEnough) world.violate("restorable", `too few shards of ${short} are left`, owner);
    else
      try {
        const late = world.scheduler.sleep(TASK_MS).then((): never => {
          throw new Error("it takes for ever");
        });
        await Promise.race([workload.restoreThis(owner, snapshot), late]);
        world.label("restore after the storm");
      } catch (error) {
        world.violate("restorable", `a restore of ${short} failed: ${messageOf(error)}`, owner);
      }
  }
}
