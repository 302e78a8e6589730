import { must } from "../../src/base/assert.ts";
import { parseIncarnation, parseOwnerId, segmentKey, shardKey } from "../../src/base/ids.ts";
import type { PeerInfo, VerifyResult } from "../../src/control/results.ts";
import type { DaemonMachine } from "./machine.ts";
import { listShards } from "./shard-files.ts";
import { survivalOf, type TrueSnapshot } from "./truth.ts";
import type { DaemonWorld } from "./world.ts";

/**
 * What was said of a snapshot when it was acknowledged, against what the disks had then. Which segments it needs is what its
 * owner's `verify` lists.
 */
export function checkSaid(world: DaemonWorld, snapshot: TrueSnapshot, verified: VerifyResult): void {
  const owner = must(parseOwnerId(snapshot.machine.ownerId), "owner id");
  const short = snapshot.id.slice(0, 12);
  for (const { incarnation, number } of verified.segments) {
    const life = must(parseIncarnation(incarnation), "incarnation");
    const look = snapshot.look.get(segmentKey({ owner, incarnation: life, number }));
    const real = look === undefined ? { sites: 0, nodes: 0 } : survivalOf(look);
    for (const what of ["sites", "nodes"] as const)
      if (snapshot.survives[what] > real[what])
        world.violate(
          "honest-status",
          `${short}: said to survive ${snapshot.survives[what]} ${what}, and segment ${number} survives ${real[what]}`,
          snapshot.machine,
        );
    const isSafe = snapshot.state === "safe" || snapshot.state === "full";
    if (isSafe && real.sites < 1)
      world.violate(
        "honest-status",
        `${short} is called ${snapshot.state}, and segment ${number} does not survive a site`,
        snapshot.machine,
      );
  }
}

/** What lies on the disks, whoever put it there. */
export function checkDisks(world: DaemonWorld): void {
  const roots = new Map<string, string>();
  for (const machine of world.living) {
    let usedBytes = 0;
    for (const shard of listShards(machine.shardsFolder)) {
      usedBytes += shard.fileBytes;
      const name = shardKey(shard.id);
      if (shard.id.owner === machine.ownerId)
        world.violate("site-rule", `${name} lies on its owner's own disk`, machine);
      const contents = world.truth.intact(shard);
      if (contents === undefined) continue;
      const root = Buffer.from(contents.root).toString("hex");
      if ((roots.get(name) ?? root) !== root)
        world.violate("one-name-one-shard", `there are two different shards ${name}`, machine);
      roots.set(name, root);
    }
    if (usedBytes > machine.plan.capacityBytes * TRAILERS)
      world.violate(
        "capacity",
        `${usedBytes} bytes are kept, and ${machine.plan.capacityBytes} are offered`,
        machine,
      );
  }
}
/** Files are longer than shards by what is kept beside them. */
const TRAILERS = 1.1;

/** A shard that a fault spoilt is not in service after a scrub. */
export function checkScrubbed(world: DaemonWorld, machine: DaemonMachine): void {
  const bad = listShards(machine.shardsFolder).filter((shard) => world.truth.intact(shard) === undefined);
  const first = bad[0];
  if (first !== undefined)
    world.violate(
      "scrub-finds",
      `${shardKey(first.id)} is bad and still in service after a scrub (${bad.length} in all)`,
      machine,
    );
}

/** Nobody holds anything against a machine that no fault took anything from. */
export function checkBlame(world: DaemonWorld, machine: DaemonMachine, peers: readonly PeerInfo[]): void {
  for (const { peerId, suspect } of peers) {
    const other = world.machines.find((one) => one.peerId === peerId);
    if (suspect === undefined || other === undefined || other.wasHit || other.isDead) continue;
    world.violate("no-false-blame", `${other.name} is suspect and did nothing: ${suspect.reason}`, machine);
  }
}
