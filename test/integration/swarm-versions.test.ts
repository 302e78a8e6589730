import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { decode, encode } from "cborg";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { MINUTE_MS } from "../../src/base/units.ts";
import { peersHandler } from "../../src/control/node-handlers.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { repositoryStanding } from "../../src/node/index.ts";
import { readDescriptor } from "../../src/wire/descriptor.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
/** The program of the next version. */
const NEXT = { reads: [1, 2], writes: 2 };

async function versionsWritten(owner: Machine): Promise<Set<number>> {
  const versions = new Set<number>();
  for await (const [, { descriptor }] of owner.node.repository.catalog.segments.all()) {
    if (descriptor !== undefined) versions.add(readDescriptor(descriptor, owner.node.roster.swarm).v);
  }
  return versions;
}

async function upgrade(swarm: Swarm, machine: Machine): Promise<void> {
  await machine.stop();
  machine.formats = NEXT;
  await machine.start();
  await swarm.settle();
  await swarm.clock.advance(MINUTE_MS);
}

it("nodes of two versions live in one swarm: the newer writes the older one's until the last is upgraded", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: "versions" });
  const owner = swarm.member(0);
  const source = scratch();
  const save = async (name: string): Promise<void> => {
    writeFileSync(join(source, "file"), swarm.rng.bytes(150_000));
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.protection.state, name).not.toBe("pending");
    const target = scratch();
    const { report } = await swarm.clock.during(owner.restore(target));
    expect(report.problems, name).toEqual([]);
    await expectSameTree(source, target + source);
  };

  await upgrade(swarm, owner);
  await save("one of three upgraded");
  expect(await versionsWritten(owner)).toEqual(new Set([1]));
  const { notes } = await repositoryStanding(owner.node);
  expect(notes.join("\n")).toContain("format 1 until these are upgraded: node1, node2");
  await upgrade(swarm, swarm.member(1));
  await save("two of three");
  expect(await versionsWritten(owner)).toEqual(new Set([1]));
  const { peers } = await peersHandler(owner.node);
  expect(peers.filter((peer) => peer.holdsBack === true).map((peer) => peer.name)).toEqual(["node2"]);
  expect(peers.find((peer) => peer.name === "node1")?.formatVersions).toEqual(NEXT);

  await upgrade(swarm, swarm.member(2));
  await save("all upgraded");
  expect(await versionsWritten(owner)).toEqual(new Set([1, 2]));
  expect((await repositoryStanding(owner.node)).notes.join("\n")).not.toContain("upgraded");
  await swarm.stop();
});

it("a holder of version 1 keeps and proves what a descriptor of version 2 describes", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: "envelope" });
  const owner = swarm.member(0);
  // It does not wait for the others, as after they were taken back to the program before.
  for (const other of swarm.members.slice(1)) other.formats = NEXT;
  for (const other of swarm.members.slice(1)) await upgrade(swarm, other);
  await upgrade(swarm, owner);
  const source = scratch();
  writeFileSync(join(source, "file"), swarm.rng.bytes(150_000));
  await swarm.clock.during(owner.snapshot([source]));
  expect(await versionsWritten(owner)).toEqual(new Set([2]));
  for (const machine of swarm.members) {
    await machine.stop();
    machine.formats = { reads: [1], writes: 1 };
    await machine.start();
  }
  await swarm.settle();
  const target = scratch();
  const { report } = await swarm.clock.during(owner.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);

  // Whatever else a later version says, and only there.
  const [, { descriptor }] = must(
    (await owner.node.repository.catalog.segments.all().next()).value ?? undefined,
    "a segment",
  );
  const signed = decodeSigned(must(descriptor, "descriptor"));
  const withMore = (v: number): Uint8Array => {
    const fields: unknown = decode(signed.body);
    const body = encode({ ...(typeof fields === "object" ? fields : {}), v, surprise: [1, 2, 3] });
    const { swarm: id, incarnation, epoch } = signed;
    const statement = { type: "descriptor", swarm: id, incarnation, epoch, body } as const;
    return encodeSigned(signStatement(statement, owner.identity.keys.signer));
  };
  const { k, m, roots } = readDescriptor(withMore(2), owner.node.roster.swarm);
  expect(roots.length).toBe(k + m);
  expect(() => readDescriptor(withMore(1), owner.node.roster.swarm)).toThrow();
  await swarm.stop();
});
