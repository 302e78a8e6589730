import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { Fault, type FaultDetail } from "../../src/base/fault.ts";
import { errorText } from "../../src/cli/error-text.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { headBody } from "../../src/wire/head.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { letLie, withhold } from "../support/liars.ts";
import { beginRecovery, recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// A recovery whose newest head leads nowhere: what is proposed to go back to.

const scratch = scratchDirectories();

/** Three snapshots of one owner, which is then gone. */
async function threeSnapshots() {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(1);
  const trees: string[] = [];
  const ids: string[] = [];
  for (const name of ["one", "two", "three"]) {
    const tree = buildPlainTree(join(scratch(), name), swarm.rng, 12);
    const { entry } = await swarm.clock.during(owner.snapshot([tree]));
    trees.push(tree);
    ids.push(toHex(entry.id));
    await swarm.clock.advance(60_000);
  }
  const life = owner.node.repository.catalog.incarnation;
  owner.crash();
  const { recovery, pool } = await swarm.clock.during(
    beginRecovery(swarm.newMachine("look", "a"), owner.identity.recovery, swarm.member(5)),
  );
  const rootSegment = (head: number): number => recovery.open(must(pool.heads[head], "head")).root.segment;
  const roots = new Map(pool.heads.map((head, at) => [rootSegment(at), head.id] as const));
  return { swarm, owner, trees, ids, life, pool, roots };
}

async function unreadable(recovering: Promise<unknown>): Promise<FaultDetail & { code: "HEAD_UNREADABLE" }> {
  const error = await recovering.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Fault) || error.detail.code !== "HEAD_UNREADABLE")
    throw error ?? new Error("it was read");
  return error.detail;
}

it("whose root is out of reach: the older heads that can be read are named, newest first, and each is a way back", async () => {
  const { swarm, owner, trees, ids, life, pool, roots } = await threeSnapshots();
  const [newest] = roots.keys();
  withhold(swarm, life, new Set([must(newest, "segment of the newest root")]));
  const said = await unreadable(
    swarm.clock.during(recoverOnto(swarm.newMachine("first", "a"), owner, swarm.member(5))),
  );
  expect(said.head).toBe(must(pool.heads[0], "newest head").id);
  expect(said.shortages.map(({ segment }) => segment.number)).toEqual([newest]);
  const readable = [...roots].filter(([segment]) => segment !== newest).map(([, id]) => id);
  expect(said.readable.map(({ head }) => head)).toEqual(readable);
  expect(said.readable[0]).toMatchObject({ snapshots: 2, newest: { snapshot: ids[1] } });
  const text = errorText(new Fault(said));
  for (const id of readable) expect(text).toContain(`--head ${id.slice(0, 12)}: of `);
  expect(text).toContain(`segment ${newest}: `);

  const proposed = must(said.readable[0], "a proposal").head.slice(0, 12);
  const fresh = swarm.newMachine("second", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5), proposed));
  const target = scratch();
  const { report } = await swarm.clock.during(fresh.restore(target));
  expect(report.problems).toEqual([]);
  const tree = must(trees[1], "second tree");
  await expectSameTree(tree, target + tree);
  await swarm.stop();
});

it("a head below of which the snapshots cannot be read either is not proposed", async () => {
  const { swarm, owner, life, roots } = await threeSnapshots();
  const segments = [...roots.keys()];
  withhold(swarm, life, new Set(segments.slice(0, 2)));
  const said = await unreadable(
    swarm.clock.during(recoverOnto(swarm.newMachine("first", "a"), owner, swarm.member(5))),
  );
  expect(said.readable.map(({ head }) => head)).toEqual([...roots.values()].slice(2));
  withhold(swarm, life, new Set(segments));
  const none = await unreadable(
    swarm.clock.during(recoverOnto(swarm.newMachine("again", "a"), owner, swarm.member(5))),
  );
  expect(none.readable).toEqual([]);
  expect(new Fault(none).message).toContain("No older state was found");
  await swarm.stop();
});

it("a head whose contents nobody can open, signed with a stolen key, is left out and said", async () => {
  const { swarm, owner, pool } = await threeSnapshots();
  const real = must(pool.heads[0], "head");
  const body = headBody.encode({ ...real.body, payload: swarm.rng.bytes(real.body.payload.length) });
  const { type, swarm: of, incarnation, epoch } = real.signed;
  const stolen = signStatement(
    { type, swarm: of, incarnation, epoch: epoch + 5, body },
    owner.identity.keys.signer,
  );
  letLie(swarm.member(6), {
    data: (_, answer) =>
      answer.t === "records" ? { ...answer, records: [...answer.records, encodeSigned(stolen)] } : answer,
  });
  const fresh = swarm.newMachine("fresh", "a");
  const recovered = await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
  expect(must(recovered.pool.heads[0], "head").id).toBe(real.id);
  expect(recovered.pool.lies.join(" ")).toContain("its contents cannot be opened");
  expect((await fresh.node.repository.snapshots()).length).toBe(3);
  await swarm.stop();
});
