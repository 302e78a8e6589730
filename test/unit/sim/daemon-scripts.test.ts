import { expect, it } from "vitest";
import { daemonPlanOf } from "../../../sim/daemons/generate.ts";
import { prefixOf, runOf, staleRuns } from "../../../sim/daemons/run-id.ts";
import { DAEMON_FAULT_KINDS, refusalOf, scriptOf } from "../../../sim/daemons/script.ts";
import { planOf } from "../../../sim/full/generate.ts";
import { FAULT_KINDS, readPlan, writePlan } from "../../../sim/full/plan.ts";

const HERE = { delay: false };
const seeds = Array.from({ length: 60 }, (_, seed) => String(seed));

it("every kind of fault is either done or refused with a reason", () => {
  for (const kind of FAULT_KINDS) {
    const isDone = DAEMON_FAULT_KINDS.some((one) => one === kind);
    expect([kind, isDone]).toEqual([kind, refusalOf(kind) === undefined]);
  }
});

it("nothing of a plan is lost: what is not in the script is among the refusals", () => {
  for (const seed of seeds) {
    const plan = planOf(seed);
    const { faults, first, steps, refused } = scriptOf(plan, HERE);
    expect(first.length + steps.length).toBe(plan.workload.length);
    const owners = new Set(plan.workload.flatMap((step) => (step.do === "snapshot" ? [step.node] : [])));
    expect(new Set(first.map(({ node }) => node))).toEqual(owners);
    expect(first).toHaveLength(owners.size);
    const ofFaults = refused.filter((text) => / at \d+ ms: /.test(text));
    expect(faults.length + ofFaults.length).toBe(plan.faults.length);
    for (const { kind } of plan.faults) {
      const isIn =
        faults.some((fault) => fault.kind === kind) || refused.some((text) => text.startsWith(kind));
      expect([kind, isIn]).toEqual([kind, true]);
    }
  }
});

it("a storm of any length takes a minute, in the same order", () => {
  for (const seed of seeds) {
    const plan = planOf(seed, { kinds: DAEMON_FAULT_KINDS, deletion: false });
    const { stormMs, faults, steps } = scriptOf(plan, HERE);
    expect(stormMs).toBe(60_000);
    expect(faults.map(({ kind }) => kind)).toEqual(plan.faults.map(({ kind }) => kind));
    for (const { atMs } of [...faults, ...steps]) expect(atMs).toBeLessThanOrEqual(stormMs);
    for (const fault of faults) if ("forMs" in fault) expect(fault.forMs).toBeGreaterThanOrEqual(2_000);
  }
});

it("a plan of a second stays one, and its sizes are those of the real format", () => {
  const plan = planOf("short");
  const world = { ...plan.world, stormMs: 1000, nodes: plan.world.nodes.slice(0, 1) };
  const script = scriptOf({ ...plan, world, workload: [], faults: [] }, HERE);
  expect(script.stormMs).toBe(1000);
  const [node] = world.nodes;
  expect(script.nodes).toEqual([
    {
      site: node?.site,
      capacityBytes: Math.min(4 * 2 ** 30, (node?.capacityBytes ?? 0) * 256),
      uplinkBitsPerSecond: (node?.bytesPerSecond ?? 0) * 256 * 8,
    },
  ]);
});

it("links are delayed where the kernel can, and it is said where it cannot", () => {
  const plan = planOf("delay");
  const slow = { ...plan, world: { ...plan.world, latencyMs: 40 } };
  expect(scriptOf(slow, { delay: true })).toMatchObject({ delayMs: 40 });
  const without = scriptOf(slow, HERE);
  expect(without.delayMs).toBe(0);
  expect(without.notes.join()).toContain("no delay of 40 ms");
});

it("clocks and quotas of a plan are refused aloud", () => {
  const plan = planOf("refused");
  const [first, ...rest] = plan.world.nodes;
  if (first === undefined) throw new Error("a plan has nodes");
  const world = { ...plan.world, quotaBytes: 1e6, nodes: [{ ...first, skewMs: 5, rate: 1 }, ...rest] };
  const { refused } = scriptOf({ ...plan, world, faults: [] }, HERE);
  expect(refused.join()).toContain("quotaBytes");
  expect(refused.join()).toContain("clock of node 0");
});

it("a seed's plan has nothing that daemons cannot do, and is a plan that the simulator reads", () => {
  const kinds = new Set<string>();
  for (const seed of seeds) {
    const plan = daemonPlanOf(seed);
    expect(plan.world.nodes).toHaveLength(9);
    expect(scriptOf(plan, HERE).refused).toEqual([]);
    expect(readPlan(writePlan(plan))).toEqual(plan);
    expect(daemonPlanOf(seed)).toEqual(plan);
    for (const { kind } of plan.faults) kinds.add(kind);
    const slowest = Math.min(
      ...scriptOf(plan, HERE).nodes.map(({ uplinkBitsPerSecond }) => uplinkBitsPerSecond),
    );
    expect(slowest).toBeGreaterThanOrEqual(9_999_000);
  }
  expect([...kinds].sort()).toEqual([...DAEMON_FAULT_KINDS].sort());
});

it("what a killed run left is told from what is in use, and from what is not ours", () => {
  const live = { pid: 10, startTicks: "111", pidNamespace: "7" };
  const dead = { pid: 11, startTicks: "222", pidNamespace: "7" };
  const reused = { pid: 12, startTicks: "333", pidNamespace: "7" };
  const elsewhere = { pid: 13, startTicks: "444", pidNamespace: "8" };
  const names = [live, dead, reused, elsewhere].flatMap((run) => [
    `${prefixOf(run)}wire (id: 3)`,
    `${prefixOf(run)}0`,
    prefixOf(run).slice(0, -1),
  ]);
  const births = new Map([
    [10, "111"],
    [12, "999"],
  ]);
  const foreign = ["cairn-sim-42.json", "docker-abc", "cairn-sim-1.2-x", "cairn-sim-daemons-11.json"];
  const stale = staleRuns([...names, ...foreign], { pidNamespace: "7" }, (pid) => births.get(pid));
  expect(stale).toEqual([dead, reused]);
  for (const name of foreign) expect(runOf(name)).toBeUndefined();
});
