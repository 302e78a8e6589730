import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import { marksOf, planAsked, planRetention } from "../../src/node/index.ts";
import { type EffectiveSet, effectiveSets, parsePolicy } from "../../src/policy/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { noise } from "../support/segments.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const BYTES = 100_000;
const UPKEEP = parseUpkeep({ tidying: { anomalyBytes: "64KiB" } });

function setsWith(keep: string): EffectiveSet[] {
  const parsed = parsePolicy(`version: 1\nsets:\n  shop: { paths: [/srv], keep: ${keep} }\n`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return effectiveSets(parsed.policy, parsed.lineOf, { site: "a", node: "n" });
}

const rulesOf = async (owner: Machine): Promise<string[]> => {
  const plan = await planRetention(owner.node, setsWith("{ last: 1 }"), undefined);
  return must(plan.sets[0], "set").snapshots.map(({ verdict }) =>
    verdict.reasons.map(({ rule }) => rule).join(),
  );
};

const ledger = (): Buffer => {
  const lines: string[] = [];
  for (let line = 0, bytes = 0; bytes < BYTES; line++) {
    const text = `${line} paid by nobody for nothing at all, on a day like any other day of the year\n`;
    bytes += text.length;
    lines.push(text);
  }
  return Buffer.from(lines.join(""));
};

it("files that were encrypted are marked, nothing before them is forgotten until somebody has looked, and a recovery still knows", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep: UPKEEP });
  const owner = swarm.member(1);
  const root = scratch();
  const save = () => swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"] }));
  put(root, "ledger", ledger());
  for (const turn of [1, 2, 3, 4, 5]) {
    put(root, "note", `turn ${turn}`);
    expect(marksOf((await save()).entry)).toEqual([]);
  }
  expect(await rulesOf(owner)).toEqual([
    "not-kept",
    "not-kept",
    "newest-safe",
    "newest-safe",
    "last,newest-safe",
  ]);
  put(root, "ledger", Buffer.from(noise(BYTES, 7)));
  const { entry } = await save();
  expect(marksOf(entry)).toEqual([
    { kind: "anomaly", text: expect.stringMatching(/are new.*hardly compresses/) },
  ]);
  const rules = await rulesOf(owner);
  expect(rules.slice(0, 2)).toEqual(["before-marked", "before-marked"]);
  expect(rules.at(-1)).toBe("marked");
  const { repository } = owner.node;
  const oldest = toHex(must((await repository.snapshots())[0], "oldest").id);
  const asked = await planAsked(owner.node, setsWith("{}"), [oldest]);
  expect(must(asked.sets[0]?.snapshots[0], "verdict").verdict).toMatchObject({
    ...{ keep: true, reasons: [{ rule: "before-marked" }] },
  });
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  expect(
    (await fresh.node.repository.snapshots()).flatMap((one) => marksOf(one)).map(({ kind }) => kind),
  ).toEqual(["anomaly"]);
  await fresh.node.repository.unmark({ snapshot: toHex(entry.id) });
  expect((await rulesOf(fresh)).slice(0, 3)).toEqual(["not-kept", "not-kept", "not-kept"]);
  await swarm.stop();
}, 300_000);

it("a snapshot by a wrong clock is marked, and the first by the right one is not", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(1);
  const root = scratch();
  const save = async (text: string): Promise<string[]> => {
    put(root, "note", text);
    const { entry } = await swarm.clock.during(owner.snapshot([root]));
    return marksOf(entry).map(({ kind }) => kind);
  };
  const setClock = async (offMs: number): Promise<void> => {
    await owner.stop();
    owner.clockOffsetMs = offMs;
    await owner.start();
    await swarm.settle();
  };
  expect(await save("right")).toEqual([]);
  await setClock(-3 * HOUR_MS);
  expect(await save("behind")).toEqual(["clock"]);
  await setClock(0);
  expect(await save("right again")).toEqual([]);
  await setClock(3 * HOUR_MS);
  expect(await save("ahead")).toEqual(["clock"]);
  await swarm.stop();
}, 300_000);
