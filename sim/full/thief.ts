import { concatBytes } from "../../src/base/bytes.ts";
import { isFault } from "../../src/base/fault.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { Fence, PeerClient } from "../../src/exchange/index.ts";
import { type LiveList, liveList, liveSetBody } from "../../src/wire/live-set.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import type { SimMachine } from "./machine.ts";
import type { Theft } from "./plan.ts";
import type { World } from "./world.ts";

interface Handed {
  readonly record: Uint8Array;
  readonly list: Uint8Array;
}

const NEVER = new AbortController().signal;
const LEAP = 2 ** 33;

/** Somebody at the machine has all that the machine has, and wants its owner's data gone from everywhere. */
export async function steal(world: World, machine: SimMachine, how: Theft): Promise<void> {
  const { catalog, live } = machine.node.repository;
  const epoch = live.state?.incarnation === catalog.incarnation ? live.state.epoch : 0;
  switch (how) {
    case "wipe":
      return wipe(world, machine);
    case "empty-live-set":
      world.truth.rob(catalog.owner, catalog.incarnation);
      return handToAll(world, machine, signedList(machine, nothingOf(machine), epoch + 3));
    case "fork":
      world.truth.rob(catalog.owner, catalog.incarnation);
      return handToAll(world, machine, signedList(machine, nothingOf(machine), Math.max(1, epoch)));
    case "replay":
      for (const old of world.deletions.handed(catalog.owner).slice(0, -1))
        await handToAll(world, machine, old);
      return;
    case "leap":
      return handToAll(world, machine, signedList(machine, nothingOf(machine), epoch + LEAP));
    case "of-another": {
      // Its own key under another's list, and another's list under its own name.
      for (const other of world.machines) {
        if (other === machine) continue;
        const others = world.deletions.handed(other.identity.keys.owner).at(-1);
        const { record } = signedList(machine, nothingOf(machine), epoch + 5);
        if (others !== undefined) await handToAll(world, machine, { record, list: others.list });
        await handToAll(world, machine, forgedFor(machine, other), other);
      }
    }
  }
}

/** As `forget` and `prune` would, without what they refuse. */
async function wipe(world: World, machine: SimMachine): Promise<void> {
  const { repository } = machine.node;
  const { owner, incarnation } = repository.catalog;
  world.truth.rob(owner, incarnation);
  await repository.change(NEVER, async (relist) => relist(await repository.snapshots()));
  await repository.prune({ dryRun: false, signal: NEVER });
  world.label("thief: everything was given up");
}

/** That nothing of any life is wanted. */
function nothingOf({ node }: SimMachine): LiveList {
  const { catalog } = node.repository;
  return {
    v: 1,
    lives: catalog.state.incarnations.map((incarnation) => ({
      incarnation,
      below: catalog.nextNumber,
      runs: [],
    })),
  };
}

function signedList({ node, identity }: SimMachine, of: LiveList, epoch: number): Handed {
  const { catalog } = node.repository;
  const list = liveList.encode(of);
  const body = liveSetBody.encode({
    v: 1,
    timeMs: node.ports.clock.wallMs(),
    bytes: list.length,
    hash: sha256(list),
  });
  const said = {
    type: "live-set",
    swarm: node.roster.swarm,
    incarnation: catalog.incarnation,
    epoch,
    body,
  } as const;
  return { record: encodeSigned(signStatement(said, identity.keys.signer)), list };
}

/** Of another owner's lives, signed by this one's key. */
function forgedFor(machine: SimMachine, other: SimMachine): Handed {
  const lives = other.running?.repository.catalog.state.incarnations ?? [];
  const below = other.running?.repository.catalog.nextNumber ?? 0;
  if (lives.length === 0) return { record: concatBytes(), list: concatBytes() };
  const of: LiveList = { v: 1, lives: lives.map((incarnation) => ({ incarnation, below, runs: [] })) };
  return signedList(machine, of, LEAP / 4);
}

/** @param as for whom it says to speak @default itself */
async function handToAll(world: World, machine: SimMachine, handed: Handed, as = machine): Promise<void> {
  const { ports, roster } = machine.node;
  const parts = { network: ports.network, clock: ports.clock, fence: new Fence() };
  const client = new PeerClient(parts, { swarm: roster.swarm, protocol: "data" });
  for (const { peer } of world.machines) {
    if (peer === machine.peer) continue;
    try {
      await client.keepLive(peer, as.identity.keys.owner, handed, NEVER);
      world.label("thief: a live set was taken");
    } catch (error) {
      if (!isFault(error)) throw error;
      world.label(`thief: ${error.code}`);
    }
  }
}
