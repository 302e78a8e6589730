import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { countUnread, SegmentSet } from "../../src/catalog/index.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { mapBody } from "../../src/wire/head.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { letLie, withhold } from "../support/liars.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// A recovery that cannot have everything: it goes on with the rest, says what is missing, and gets it later.

const scratch = scratchDirectories();
const NINE = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];

async function expectRestores(swarm: Swarm, owner: Machine, source: string, asked = "latest"): Promise<void> {
  const target = scratch();
  const snapshot = await owner.node.repository.find(asked);
  const { report } = await swarm.clock.during(owner.restore(target, { snapshot }));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

it("goes on without index pages that cannot be read, says so, and reads them when they come back", async () => {
  const swarm = await Swarm.create({ sites: NINE });
  const owner = swarm.member(1);
  const source = join(scratch(), "source");
  for (let i = 0; i < 40; i++) put(source, `file-${i}`, swarm.rng.bytes(200_000));
  const made = await swarm.clock.during(owner.snapshot([source]));
  const [run] = owner.node.repository.catalog.state.runs;
  const { locator, segments } = must(run, "index run");
  const pages = [...SegmentSet.fromRanges(segments)].filter(({ number }) => number !== locator.segment);
  expect(pages.length).toBeGreaterThan(0);
  const life = owner.node.repository.catalog.incarnation;
  owner.crash();
  withhold(swarm, life, new Set(pages.map(({ number }) => number)));
  const fresh = swarm.newMachine("fresh", "a");
  const { imported } = await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
  expect(imported.unread.pages.length).toBeGreaterThan(0);
  expect(imported.short.length).toBe(pages.length);
  const { repository } = fresh.node;
  expect((await repository.snapshots()).map(({ id }) => toHex(id))).toEqual([toHex(made.entry.id)]);
  const target = scratch();
  await expect(swarm.clock.during(fresh.restore(target))).rejects.toMatchObject({
    code: expect.stringMatching(/CHUNK_UNKNOWN|TOO_FEW_SHARDS/),
  });
  // A snapshot made meanwhile names what it could not read, so that nothing is lost if this machine goes as well.
  const small = put(scratch(), "small", "x");
  await swarm.clock.during(fresh.snapshot([small]));
  expect(countUnread(repository.unread)).toBeGreaterThan(0);
  expect(repository.catalog.state.runs.some((one) => Buffer.from(one.locator.id).equals(locator.id))).toBe(
    true,
  );
  for (const machine of swarm.members) machine.lie = undefined;
  await swarm.clock.advance(30 * 60_000);
  expect(countUnread(repository.unread)).toBe(0);
  expect(fresh.logged("recovery-completed").length).toBeGreaterThan(0);
  await expectRestores(swarm, fresh, source, toHex(made.entry.id));
  await swarm.stop();
});

it("finds every segment of all lives at a second recovery, though nobody has the maps of the first life any more", async () => {
  const swarm = await Swarm.create({ sites: NINE });
  const owner = swarm.member(1);
  const root = scratch();
  const first = buildPlainTree(join(root, "first"), swarm.rng, 12);
  const made = await swarm.clock.during(owner.snapshot([first]));
  const firstLife = owner.node.repository.catalog.incarnation;
  owner.crash();
  const second = swarm.newMachine("second", "b");
  await swarm.clock.during(recoverOnto(second, owner, swarm.member(5)));
  const more = buildPlainTree(join(root, "more"), swarm.rng, 12);
  await swarm.clock.during(second.snapshot([more]));
  // Holders change: two of the first life go, others come, and with them goes who had its maps.
  for (const index of [3, 7]) swarm.member(index).crash();
  for (const site of ["b", "c"]) {
    const late = swarm.newMachine(`late-${site}`, site);
    await late.join(swarm.member(0));
    swarm.members.push(late);
    await late.start();
  }
  await swarm.settle();
  await swarm.clock.during(second.snapshot([more, first]));
  second.crash();
  for (const machine of swarm.members) {
    letLie(machine, {
      data: (_, answer) =>
        answer.t === "records"
          ? {
              ...answer,
              records: answer.records.filter((record) => {
                const { type, incarnation } = decodeSigned(record);
                return type !== "map" || incarnation !== firstLife;
              }),
            }
          : answer,
    });
  }
  const third = swarm.newMachine("third", "c");
  const { imported } = await swarm.clock.during(recoverOnto(third, owner, swarm.member(5)));
  expect(imported.short).toEqual([]);
  expect(third.node.repository.maps.hasClass(0, 0)).toBe(false);
  await expectRestores(swarm, third, first, toHex(made.entry.id));
  // Two of a segment's shards may have gone with the two: holders mend what is older than a recovery by its maps, which nobody has.
  const again = await swarm.clock.during(third.snapshot([more, first]));
  expect(again.protection.survival.margin).toBeGreaterThan(0);
  await expectRestores(swarm, third, more, toHex(again.entry.id));
  await swarm.stop();
});

it("finds segments although the newest map is a thief's that names other holders", async () => {
  const swarm = await Swarm.create({ sites: NINE });
  const owner = swarm.member(1);
  const source = buildPlainTree(join(scratch(), "source"), swarm.rng, 12);
  await swarm.clock.during(owner.snapshot([source]));
  owner.crash();
  for (const machine of swarm.members) {
    letLie(machine, {
      data: (_, answer) => {
        if (answer.t !== "records") return answer;
        const records = answer.records.map((bytes) => {
          const record = decodeSigned(bytes);
          if (record.type !== "map") return bytes;
          const body = mapBody.decode(record.body);
          const { type, swarm: of, incarnation, epoch } = record;
          const turned = mapBody.encode({ ...body, peers: body.peers.toReversed() });
          const statement = { type, swarm: of, incarnation, epoch: epoch + 1, body: turned };
          return encodeSigned(signStatement(statement, owner.identity.keys.signer));
        });
        return { ...answer, records };
      },
    });
  }
  const fresh = swarm.newMachine("fresh", "c");
  const { imported } = await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
  expect(imported.short).toEqual([]);
  await expectRestores(swarm, fresh, source);
  await swarm.stop();
});
