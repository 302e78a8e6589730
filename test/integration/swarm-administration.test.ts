import { afterEach, describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { Fault } from "../../src/base/fault.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { adminHandlers } from "../../src/control/node-admin.ts";
import { administratorAlerts } from "../../src/control/node-admin-alerts.ts";
import { peersHandler } from "../../src/control/node-handlers.ts";
import { changeAdministrators } from "../../src/membership/index.ts";
import type { Node } from "../../src/node/index.ts";
import { Swarm } from "../support/swarm.ts";

const context = { signal: new AbortController().signal, progress: () => {} };

let swarm: Swarm | undefined;
afterEach(async () => {
  await swarm?.stop();
  swarm = undefined;
});

async function threeNodes(): Promise<Swarm> {
  swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: "administration" });
  return swarm;
}

const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error: unknown) => (error instanceof Fault ? error.code : "error"),
  );

describe("one administrator", () => {
  it("removes a node after a day, and every node says so before and after", async () => {
    const { members, clock } = await threeNodes();
    const [founder, , gone] = members.map((machine) => must(machine.node, "node"));
    const decided = await must(founder, "founder").administration.remove("node2", {
      reason: "burnt down",
      barsOwner: false,
    });
    expect(decided).toMatchObject({ outcome: "announced", pending: { signatures: 1 } });
    await must(swarm, "swarm").settle();
    for (const machine of members) {
      const [line] = machine.logged("removal-announced");
      expect(line).toMatchObject({ level: "warn", fields: { name: "node2", reason: "burnt down" } });
      expect(machine.node.roster.pending()).toHaveLength(1);
    }
    const shown = async () => (await peersHandler(must(founder, "founder"))).peers;
    const [waiting] = (await shown()).flatMap(({ pending }) => pending ?? []);
    expect(waiting).toMatchObject({ kind: "removal", name: "node2" });
    expect(must(waiting?.waitsMs, "how long it waits")).toBeGreaterThan(DAY_MS - MINUTE_MS);
    expect(waiting?.waitsMs).toBeLessThanOrEqual(DAY_MS);
    await clock.jump(DAY_MS + HOUR_MS);
    await must(swarm, "swarm").settle();
    const removed = (await shown()).filter(({ state }) => state === "removed");
    expect(removed).toMatchObject([
      { name: "node2", site: "c", holder: false, removedAt: waiting?.effectiveAt, addresses: [] },
    ]);
    for (const machine of members.slice(0, 2)) {
      expect(machine.node.roster.member(must(gone, "gone").ports.network.self)).toBeUndefined();
      expect(machine.logged("member-removed")).toHaveLength(1);
    }
  });

  it("takes a removal back while it waits, by the name as by the peer id", async () => {
    const { members, clock } = await threeNodes();
    const founder = must(members[0], "founder");
    const { administration } = founder.node;
    const init = { reason: "", barsOwner: false };
    await administration.remove("node1", init);
    expect(await administration.remove("node1", init)).toMatchObject({ outcome: "known" });
    const peer = must(members[1], "node1").peer;
    expect((await administration.cancel(peer, "removal")).withdrawn).toHaveLength(1);
    expect(await refusal(administration.cancel(peer, "removal"))).toBe("USAGE");
    await must(swarm, "swarm").settle();
    for (const machine of members) expect(machine.logged("decision-withdrawn")).toHaveLength(1);
    await clock.jump(3 * DAY_MS);
    for (const machine of members) expect(machine.node.roster.members()).toHaveLength(3);
  });

  it("moves a node to another site", async () => {
    const { members, clock } = await threeNodes();
    const { administration } = must(members[0], "founder").node;
    expect(await refusal(administration.moveSite("node1", "b"))).toBe("USAGE");
    expect(await refusal(administration.moveSite("node1", "A"))).toBe("USAGE");
    expect(await administration.moveSite("node1", "d")).toMatchObject({
      outcome: "announced",
      pending: { from: "b", to: "d" },
    });
    await must(swarm, "swarm").settle();
    await clock.jump(DAY_MS + HOUR_MS);
    for (const machine of members) {
      expect(machine.node.roster.member(must(members[1], "node1").peer)?.site).toBe("d");
      expect(machine.logged("member-moved")).toHaveLength(1);
    }
  });
});

describe("who has no administrator's key", () => {
  it("decides nothing, and names that fit nobody are said to", async () => {
    const { members } = await threeNodes();
    const { administration } = must(members[1], "node1").node;
    const init = { reason: "", barsOwner: false };
    expect(await refusal(administration.remove("node2", init))).toBe("NOT_ALLOWED");
    expect(await refusal(administration.moveSite("node2", "d"))).toBe("NOT_ALLOWED");
    expect(await refusal(administration.cancel("node2", "removal"))).toBe("NOT_ALLOWED");
    expect(await refusal(administration.confirmHolder("node2"))).toBe("NOT_ALLOWED");
    const founder = must(members[0], "founder").node.administration;
    expect(await refusal(founder.remove("nobody", init))).toBe("PEER_UNKNOWN");
    expect(await refusal(founder.remove("12D3Koo", init))).toBe("USAGE");
    expect(await refusal(founder.remove("node0", init))).toBe("USAGE");
    expect(await refusal(founder.confirmHolder("node1"))).toBe("USAGE");
  });
});

describe("two administrators", () => {
  it("are made by one, and either removes a node at once with the other's word", async () => {
    const { members, clock } = await threeNodes();
    await clock.advance(MINUTE_MS);
    const [first, second, third] = members.map((machine) => machine.node);
    const administrators = must(first, "first").administrators;
    expect(administrators.list()).toMatchObject([{ member: { name: "node0" }, isOwn: true }]);
    expect(await refusal(must(second, "second").administrators.add("node2"))).toBe("NOT_ALLOWED");
    expect(await administrators.add("node1")).toMatchObject({ outcome: "added", administrators: 2 });
    expect(await administrators.add("node1")).toMatchObject({ outcome: "known" });
    await must(swarm, "swarm").settle();
    for (const machine of members) {
      expect(machine.logged("administrators-changed")).toHaveLength(1);
      expect(machine.node.administrators.list().map(({ member }) => member?.name)).toEqual([
        "node0",
        "node1",
      ]);
    }
    const init = { reason: "", barsOwner: false };
    await must(first, "first").administration.remove("node2", init);
    await must(swarm, "swarm").settle();
    const confirmed = await must(second, "second").administration.remove("node2", init);
    expect(confirmed).toMatchObject({ outcome: "confirmed", pending: undefined });
    await must(swarm, "swarm").settle();
    expect(must(first, "first").roster.members()).toHaveLength(2);
    expect(must(third, "third").administrators.includesThisNode).toBe(false);
  });

  it("one takes the other's key its say; the last one stays", async () => {
    const { members } = await threeNodes();
    const [first, second] = members.map((machine) => must(machine, "machine").node);
    await must(first, "first").administrators.add("node1");
    await must(swarm, "swarm").settle();
    const { administrators } = must(second, "second");
    const key = must(administrators.list()[0], "first administrator").key;
    const changed = await administrators.remove(toHex(key).slice(0, 10));
    expect(changed).toMatchObject({ outcome: "removed", administrators: 1 });
    await must(swarm, "swarm").settle();
    for (const machine of members) expect(machine.node.roster.members()).toHaveLength(3);
    const request = { site: "d", expiresMs: HOUR_MS, uses: 1 };
    expect(await refusal(must(first, "first").invite(request))).toBe("NOT_ALLOWED");
    await must(second, "second").invite(request);
    expect(await refusal(administrators.remove("node1"))).toBe("NOT_ALLOWED");
    expect(await refusal(administrators.remove("node2"))).toBe("USAGE");
  });
});

describe("two changes of the administrators at once", () => {
  it("are an alert on every node that hears of both, with what to do", async () => {
    const { members } = await threeNodes();
    const [first, second, third] = members.map((machine) => machine.node);
    const founder = must(first, "first");
    await founder.administrators.add("node1");
    await must(swarm, "swarm").settle();
    const alerts = (node: Node) => administratorAlerts(node).filter(({ code }) => code.endsWith("forked"));
    for (const { node } of members) expect(alerts(node)).toEqual([]);
    const keys = founder.administrators.set.keys;
    const change = (node: Node, next: readonly Uint8Array[]) => {
      const { roster, administrators } = node;
      const components = { roster, clock: must(swarm, "swarm").clock };
      const init = { administrators: [administrators.key()], keys: next, threshold: 1 };
      return changeAdministrators(components, init);
    };
    const byFirst = change(founder, keys.slice(0, 1));
    const bySecond = change(must(second, "second"), keys.slice(1));
    await must(third, "third").roster.applyAll([...bySecond.lists, bySecond.change]);
    await must(third, "third").roster.applyAll([...byFirst.lists, byFirst.change]);
    await must(swarm, "swarm").settle();
    const heard = members.filter(({ node }) => alerts(node).length > 0);
    expect(heard).toContain(members[2]);
    for (const machine of heard) {
      expect(must(alerts(machine.node)[0], "alert").text).toContain('"cairn admin list"');
      expect(machine.logged("administrators-forked")).toMatchObject([
        { level: "error", fields: { number: 2, id: toHex(bySecond.change.hash) } },
      ]);
      const list = await adminHandlers(machine.node).adminList({}, context);
      expect(list.forks).toMatchObject([
        { number: 2, apart: false, administrators: [toHex(must(keys[1], "key"))] },
      ]);
    }
  });
});
