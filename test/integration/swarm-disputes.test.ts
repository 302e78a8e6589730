import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import type { SegmentRef } from "../../src/catalog/index.ts";
import { nodeHandlers } from "../../src/control/node-handlers.ts";
import { statusResult } from "../../src/control/results.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { PeerClient } from "../../src/exchange/index.ts";
import { headBody } from "../../src/wire/head.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// One key says two different things: nothing is replaced, both are kept, and the nodes that saw it say so.

const scratch = scratchDirectories();
const context = { signal: new AbortController().signal, progress: () => {} };

async function statusOf(machine: Machine) {
  const handlers = nodeHandlers(machine.node, { version: "test", stop: () => {} });
  return statusResult.parse(await handlers.status({}, context));
}

async function swarmWithSnapshot() {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "d"] });
  const owner = swarm.member(0);
  await swarm.clock.during(owner.snapshot([buildPlainTree(join(scratch(), "src"), swarm.rng)]));
  await swarm.settle();
  const { network } = owner.node.ports;
  const client = new PeerClient({ network, clock: swarm.clock }, { swarm: owner.node.roster.swarm });
  return { swarm, owner, client, ownerId: owner.node.repository.catalog.owner };
}

it("two heads of one life and epoch are both kept, and status of who keeps them names the key", async () => {
  const { swarm, owner, client, ownerId } = await swarmWithSnapshot();
  const holder = swarm.member(1);
  expect(await statusOf(holder)).toMatchObject({ forks: [] });
  const records = await swarm.clock.during(client.records(holder.peer, ownerId));
  const head = must(
    records.filter(({ type }) => type === "head").sort((a, b) => b.epoch - a.epoch)[0],
    "head",
  );
  const { type, swarm: id, incarnation, epoch } = head;
  const body = headBody.encode({ ...headBody.decode(head.body), timeMs: 1 });
  const other = signStatement({ type, swarm: id, incarnation, epoch, body }, owner.identity.keys.signer);
  await swarm.clock.during(client.keep(holder.peer, ownerId, [encodeSigned(other)]));
  const status = await statusOf(holder);
  expect(status.forks).toEqual([{ type: "head", signer: ownerId, incarnation, epoch }]);
  expect(status.alerts.map(({ code }) => code)).toContain("forked");
  const kept = await swarm.clock.during(client.records(holder.peer, ownerId));
  expect(kept.filter((one) => one.type === "head" && one.epoch === epoch)).toHaveLength(2);
  await holder.stop();
  await holder.start();
  expect((await statusOf(holder)).forks).toHaveLength(1);
  await swarm.stop();
});

it("other bytes under an id that is held change nothing, and are counted and logged", async () => {
  const { swarm, owner, client } = await swarmWithSnapshot();
  const { catalog } = owner.node.repository;
  const held: { ref: SegmentRef; index: number; descriptor: Uint8Array }[] = [];
  const holder = swarm.member(1);
  for await (const [ref, { slots, descriptor }] of catalog.segments.all()) {
    const index = slots.findIndex((slot) => slot?.peer === holder.peer);
    if (index >= 0) held.push({ ref, index, descriptor: must(descriptor, "descriptor") });
  }
  const first = must(held[0], "a segment");
  const second = must(
    held.find(({ ref, index }) => ref.number !== first.ref.number && index === first.index),
    "another one with the same index there",
  );
  const shardOf = ({ ref, index }: typeof first) => ({ ...catalog.segmentId(ref), index });
  const read = () => swarm.clock.during(client.getShard(holder.peer, shardOf(first), undefined));
  const before = await read();
  const others = await swarm.clock.during(client.getShard(holder.peer, shardOf(second), undefined));
  const { type, swarm: id, incarnation, body } = decodeSigned(second.descriptor);
  const forged = signStatement(
    { type, swarm: id, incarnation, epoch: first.ref.number, body },
    owner.identity.keys.signer,
  );
  const refused = await swarm.clock
    .during(client.put(holder.peer, shardOf(first), encodeSigned(forged), others.bytes))
    .catch((error: unknown) => error);
  expect(isFault(refused, "SHARD_CONFLICT", "PEER_REFUSED")).toBe(true);
  expect((await read()).bytes).toEqual(before.bytes);
  const status = await statusOf(holder);
  expect(status.storage.conflicts).toBe(1);
  expect(status.alerts.map(({ code }) => code)).toContain("shard-conflicts");
  expect((await statusOf(swarm.member(2))).storage.conflicts).toBe(0);
  await swarm.stop();
});
