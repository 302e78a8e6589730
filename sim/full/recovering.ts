import { must } from "../../src/base/assert.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { RecordStore, Roster } from "../../src/membership/index.ts";
import { importCatalog, NAMESPACE, Recovery } from "../../src/node/index.ts";
import { prefixed } from "../../src/ports/index.ts";
import { createInlineCompute } from "../inline-compute.ts";
import { NodeClock } from "../node-clock.ts";
import type { SimMachine } from "./machine.ts";
import type { World } from "./world.ts";

/**
 * From a recovery key and one member to a running node on an empty machine, as `cairn recover` goes about it. One that fails
 * leaves no home behind, and may be tried again.
 */
export async function recoverOwner(world: World, lost: SimMachine, via: SimMachine): Promise<SimMachine> {
  const onto = world.newMachine(lost.init.plan);
  lost.isReplaced = true;
  try {
    await makeHome(world, lost, onto, via);
  } catch (error) {
    lost.isReplaced = false;
    throw error;
  }
  world.machines.push(onto);
  await onto.start();
  world.plugIn(onto);
  world.label("recover: done");
  return onto;
}

async function makeHome(world: World, lost: SimMachine, onto: SimMachine, via: SimMachine): Promise<void> {
  const clock = new NodeClock(world.scheduler, onto.clockError);
  const guest = onto.guest(lost.identity.recovery.identity);
  await guest.dial(must(via.node.ports.directory.ownAddresses()[0], "address"));
  const components = {
    network: guest.network,
    dial: guest.dial,
    clock,
    rng: onto.rng.fork("recovery"),
    log: SILENT_LOG,
  };
  const recovery = await Recovery.begin(components, lost.identity.recovery, via.peer);
  const pool = await recovery.askPool(() => {});
  const head = must(pool.heads[0], "head");
  const incarnation = recovery.newIncarnation();
  const meta = onto.metaDisk.open();
  await importCatalog(
    {
      store: prefixed(meta, NAMESPACE.catalog),
      client: recovery.client,
      spool: onto.spoolDisk.open(),
      compute: createInlineCompute(onto.files.opener(), onto.init.codec),
      clock,
      log: SILENT_LOG,
    },
    {
      swarm: recovery.swarm,
      owner: recovery.slot.owner,
      keys: recovery.keys,
      head: head.signed,
      keepers: head.keepers,
      payload: recovery.open(head),
      older: recovery.olderThan(head, pool.heads),
      maps: pool.maps,
      answering: pool.answering,
      incarnation,
      signal: new AbortController().signal,
      onProgress: () => {},
    },
  );
  const { node, nodeSeed } = onto.identity;
  const description = { name: onto.name, host: onto.host, capacityBytes: onto.init.plan.capacityBytes };
  const entered = await recovery.enter(node, incarnation, description);
  const store = prefixed(meta, NAMESPACE.membership);
  const roster = await Roster.create({ store, clock }, entered);
  const records = await RecordStore.open({ store, roster, log: SILENT_LOG });
  await records.put(entered.incarnation);
  onto.adopt({ ...lost.identity, node, nodeSeed, keys: recovery.keys }, recovery.slotRecord);
}
