import { describe, expect, test } from "vitest";
import { chartOf } from "../../../sim/fleet/chart.ts";
import { readFleet } from "../../../sim/fleet/fleet.ts";
import { FleetModel } from "../../../sim/fleet/model.ts";
import { runFleet } from "../../../sim/fleet/run.ts";
import { Scheduler } from "../../../sim/scheduler.ts";
import { DAY_MS } from "../../../src/base/units.ts";

const NO_CHURN = { outagesPerYear: 0, nodeLossPerYear: 0, siteLossPerYear: 0, rotPerTerabyteYear: 0 };

function fleetOf(changes: object = {}, nodes = 3, sites = 4) {
  const site = (name: string) => ({ name, nodes, capacity: "2TB", data: "100GB", uplink: "20Mbit/s" });
  const all = Array.from({ length: sites }, (_, at) => site(`s${at}`));
  return readFleet(JSON.stringify({ sites: all, years: 1, ...changes }));
}

describe("years of a fleet", () => {
  test("the same seed gives the same years, another one others", async () => {
    const fleet = fleetOf({ churn: { nodeLossPerYear: 0.3 } });
    const [one, again, other] = [
      await runFleet(fleet, "1"),
      await runFleet(fleet, "1"),
      await runFleet(fleet, "2"),
    ];
    expect(again).toEqual(one);
    expect(other.hash).not.toBe(one.hash);
    expect(one.outages).toBeGreaterThan(50);
  });

  test("where nothing happens nothing is repaired", async () => {
    const report = await runFleet(fleetOf({ churn: NO_CHURN }), "1");
    expect(report).toMatchObject({
      shardsRepaired: 0,
      bytesRepaired: 0,
      rowsLost: 0,
      outages: 0,
      timesAtRisk: 0,
    });
    const [k = 0, m = 0] = report.profile.split("+").map(Number);
    expect(k).toBeGreaterThan(0);
    expect(report.leastMargin).toBe(m);
  });

  test("a lost node is rebuilt, and what is kept is as much as before", async () => {
    const fleet = fleetOf({ churn: { ...NO_CHURN, nodeLossPerYear: 0.4 } });
    const scheduler = await Scheduler.create();
    const model = new FleetModel(fleet, "7", scheduler);
    await scheduler.run(365 * DAY_MS);
    expect(model.ledger.losses).toBeGreaterThan(0);
    expect(model.ledger.shardsRepaired).toBeGreaterThan(0);
    for (const row of model.rows) {
      const good = row.shards.filter((state) => state === "good").length;
      expect(row.margin).toBe(good - fleet.class.k);
      for (const [slot, holder] of row.slots.entries()) {
        if (holder === undefined) continue;
        expect(holder).not.toBe(row.owner);
        expect(holder.holds.has(row.index * row.slots.length + slot)).toBe(true);
      }
    }
    for (const node of model.nodes) {
      const held = model.held(node).reduce((sum, { row }) => sum + row.shardBytes, 0);
      expect(node.usedBytes).toBe(held);
      expect(node.usedBytes).toBeLessThanOrEqual(node.capacityBytes);
    }
  });

  test("a fleet that cannot be kept alive is said to have lost data", async () => {
    const churn = { ...NO_CHURN, nodeLossPerYear: 0.97, replacedAfter: "300d" };
    const report = await runFleet(fleetOf({ profile: "2+1", churn }, 1, 5), "1");
    expect(report.rowsLost).toBeGreaterThan(0);
    expect(report.bytesLost).toBeGreaterThan(0);
    expect(report.timesAtRisk).toBeGreaterThan(0);
    expect(report.longestAtRiskMs).toBeGreaterThan(0);
  });

  test("the picture has every curve", async () => {
    const svg = chartOf(await runFleet(fleetOf(), "1"));
    expect(svg.match(/<polyline/g)).toHaveLength(4);
    expect(svg).not.toContain("NaN");
    expect(svg).toContain("12 nodes at 4 sites");
  });
});

test("what is no fleet is said to be none", () => {
  expect(() => readFleet('{"sites":[]}')).toThrow(/no fleet/);
  const site = { name: "a", nodes: 1, capacity: "2TB", data: "1GB" };
  expect(() => readFleet(JSON.stringify({ sites: [site] }))).toThrow(/two nodes/);
  expect(() => readFleet(JSON.stringify({ sites: [{ ...site, capacity: "much" }] }))).toThrow(/size/);
  expect(() => readFleet(JSON.stringify({ sites: [site, site], churn: { luck: 1 } }))).toThrow(/no fleet/);
});
