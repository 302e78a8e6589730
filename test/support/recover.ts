import { createInlineCompute } from "../../sim/inline-compute.ts";
import { createFileOpener } from "../../src/adapters/files/index.ts";
import { readReedSolomonWasm } from "../../src/adapters/workers/reed-solomon-wasm.ts";
import { must } from "../../src/base/assert.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import type { RecoveryKeys } from "../../src/crypto/index.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";
import { RecordStore, Roster } from "../../src/membership/index.ts";
import {
  type Imported,
  importCatalog,
  NAMESPACE,
  type PoolFindings,
  pickHead,
  Recovery,
} from "../../src/node/index.ts";
import { prefixed } from "../../src/ports/index.ts";
import type { Machine } from "./swarm.ts";

/** The first steps of a recovery: what the pool says. */
export async function beginRecovery(
  onto: Machine,
  keys: RecoveryKeys,
  via: Machine,
): Promise<{ recovery: Recovery; pool: PoolFindings }> {
  const { clock } = onto.swarm;
  const guest = onto.guest(keys.identity);
  await guest.dial(must(via.node.ports.directory.ownAddresses()[0], "address"));
  const recovery = await Recovery.begin(
    { network: guest.network, dial: guest.dial, clock, rng: onto.rng.fork("recovery"), log: SILENT_LOG },
    keys,
    via.peer,
  );
  return { recovery, pool: await recovery.askPool(() => {}) };
}

/** From a recovery key and one member to a running node on an empty machine, as `cairn recover` does it. */
export async function recoverOnto(
  onto: Machine,
  lost: Machine,
  via: Machine,
  headId?: string,
): Promise<{ recovery: Recovery; pool: PoolFindings; imported: Imported; bytesFetched: number }> {
  const { clock } = onto.swarm;
  const { recovery, pool } = await beginRecovery(onto, lost.identity.recovery, via);
  const head = headId === undefined ? must(pool.heads[0], "head") : pickHead(pool.heads, headId);
  const incarnation = recovery.newIncarnation();
  const meta = onto.metaDisk.open();
  const imported = await importCatalog(
    {
      store: prefixed(meta, NAMESPACE.catalog),
      client: recovery.client,
      spool: onto.spoolDisk.open(),
      compute: createInlineCompute(createFileOpener(), createWasmCodec(readReedSolomonWasm())),
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
  const description = { name: onto.init.name, host: onto.init.host, capacityBytes: onto.init.capacityBytes };
  const entered = await recovery.enter(node, incarnation, description);
  const store = prefixed(meta, NAMESPACE.membership);
  const roster = await Roster.create({ store, clock }, entered);
  const records = await RecordStore.open({ store, roster, log: SILENT_LOG });
  await records.put(entered.incarnation);
  onto.adopt({ ...lost.identity, node, nodeSeed, keys: recovery.keys }, recovery.slotRecord);
  await onto.start();
  onto.swarm.members.push(onto);
  await onto.swarm.settle();
  return { recovery, pool, imported, bytesFetched: imported.bytesFetched };
}
