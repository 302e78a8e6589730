import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import {
  adminChangeResult,
  adminListResult,
  adminPendingResult,
  decisionResult,
  quotaResult,
  thresholdResult,
  voteResult,
} from "../../src/control/admin-api.ts";
import { inviteResult } from "../../src/control/results.ts";
import { errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";

// Three administrators, two of whom must sign. One alone decides nothing; a second one's signature does, whether or not the
// first one's machine is still on.

let swarm: DaemonSwarm;
let first: TestNode;
let second: TestNode;
let third: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c", "d"] });
  [first, second, third] = [swarm.node(0), swarm.node(1), swarm.node(2)];
  for (const name of ["n1", "n2"]) {
    await eventually(`${name} has published its key`, async () => {
      const ran = await first.cli("admin", "add", name, "--json");
      return ran.status === 0 && resultOf(ran, adminChangeResult).outcome === "added";
    });
  }
  expect(await first.ask(thresholdResult, "admin", "threshold", "2")).toMatchObject({
    threshold: 2,
    administrators: 3,
  });
  for (const node of swarm.nodes) {
    await eventually(`${node.name} knows that two must sign`, async () => {
      const { threshold, administrators } = await node.ask(adminListResult, "admin", "list");
      return threshold === 2 && administrators.length === 3;
    });
  }
});
afterAll(() => swarm?.dispose());

const pendingAt = (node: TestNode) => node.ask(adminPendingResult, "admin", "pending");

/** Waits until a node has heard of a proposal. */
async function heard(node: TestNode, id: string): Promise<void> {
  await eventually(`${node.name} has heard of ${id.slice(0, 12)}`, async () =>
    (await pendingAt(node)).proposals.some((one) => one.id === id),
  );
}

it("one administrator alone adds nobody and removes nobody, and everybody hears of it", async () => {
  const removed = await first.ask(decisionResult, "remove", "n3", "--reason", "sold");
  expect(removed).toMatchObject({ status: 0, outcome: "proposed", inEffect: false });
  const { id } = must(removed.proposal, "proposal");
  const added = await first.ask(adminChangeResult, "admin", "add", "n3");
  expect(added).toMatchObject({ outcome: "proposed", administrators: 3, proposal: { missing: 1 } });
  const invited = await first.ask(inviteResult, "invite", "--site", "e");
  expect(invited.proposal).toMatchObject({ kind: "invitation", missing: 1 });
  for (const node of swarm.nodes) {
    await eventually(`${node.name} logs it`, () =>
      node.logged("proposal-made").some((line) => line["id"] === id && line["kind"] === "removal"),
    );
    expect((await node.ask(adminListResult, "admin", "list")).administrators).toHaveLength(3);
    expect((await node.peers()).filter(({ state }) => state !== "removed")).toHaveLength(4);
  }
  const late = TestNode.make(
    { home: join(swarm.directory, "early"), name: "early", site: "e" },
    invited.token,
  );
  await expect(late).rejects.toThrow("still waits for signatures");
  await heard(second, must(invited.proposal, "proposal").id);
  const { proposals, threshold } = await pendingAt(second);
  expect(threshold).toBe(2);
  expect(proposals.map(({ text }) => text)).toEqual([
    'remove n3 (d) from the swarm ("sold")',
    expect.stringMatching(/^make n3 \(key [0-9a-f]{12}\) an administrator$/),
    expect.stringMatching(/^let 1 new node in at site e until .*, quota none$/),
  ]);
  expect((await second.status()).alerts.map(({ code }) => code)).toContain("signature-wanted");
  const fourth = swarm.node(3);
  await heard(fourth, id);
  expect(errorOf(await fourth.cli("admin", "sign", id, "--json"))).toMatchObject({ status: 6 });
  for (const { id: other, kind } of proposals) {
    if (kind === "removal") continue;
    const vote = kind === "administrators" ? "withdraw" : "sign";
    const by = vote === "sign" ? second : first;
    expect(await by.ask(voteResult, "admin", vote, other.slice(0, 12))).toMatchObject({ inEffect: true });
  }
  expect((await first.ask(adminListResult, "admin", "list")).administrators).toHaveLength(3);
});

it("with the first one's machine off, a token signed before lets in, and a second signature removes", async () => {
  const invited = await first.ask(inviteResult, "invite", "--site", "f");
  const invitation = must(invited.proposal, "proposal").id;
  await heard(third, invitation);
  const quota = await first.ask(quotaResult, "quota", "n2", "5GB");
  expect(quota).toMatchObject({ outcome: "proposed" });
  const quotaId = must(quota.proposal, "proposal").id;
  await heard(second, quotaId);
  await first.kill();
  expect(await third.ask(voteResult, "admin", "sign", invitation)).toMatchObject({ inEffect: true });
  const fourth = swarm.node(3);
  await eventually("the fourth has the token", () =>
    [second, third, fourth].some((node) =>
      node.logged("proposal-decided").some(({ id }) => id === invitation),
    ),
  );
  const late = await TestNode.make(
    { home: join(swarm.directory, "n4"), name: "n4", site: "f" },
    invited.token,
  );
  swarm.nodes.push(late);
  await late.start();
  await swarm.allAlive();
  // The same command of another administrator is its signature.
  expect(await second.ask(quotaResult, "quota", "n2", "5GB")).toMatchObject({
    outcome: "signed",
    quotaBytes: 5e9,
    proposal: { id: quotaId, state: "done", text: "change n2 (c): quota from none to 4.66 GiB" },
  });
  await eventually("everybody knows the quota", async () => {
    const seen = await late.peers();
    return seen.some(({ name, quotaBytes }) => name === "n2" && quotaBytes === 5e9);
  });
  expect(await second.ask(decisionResult, "remove", "n3")).toMatchObject({
    outcome: "signed",
    inEffect: true,
    proposal: { state: "done" },
  });
  for (const node of [second, third, late]) {
    await eventually(`${node.name} has it out`, async () =>
      (await node.peers()).every(({ name, state }) => name !== "n3" || state === "removed"),
    );
  }
  await first.start();
  await eventually("the first one hears it all", async () => {
    const { proposals } = await pendingAt(first);
    const left = (await first.peers()).filter(({ state }) => state !== "removed").map(({ name }) => name);
    return proposals.length === 0 && !left.includes("n3") && left.includes("n4");
  });
});

it("lowers the threshold by two, and one suffices again", async () => {
  expect(errorOf(await first.cli("admin", "threshold", "4", "--json"))).toMatchObject({ status: 2 });
  const lowered = await first.ask(thresholdResult, "admin", "threshold", "1");
  expect(lowered).toMatchObject({ threshold: 2, proposal: { missing: 1 } });
  const { id } = must(lowered.proposal, "proposal");
  await heard(third, id);
  const text = (await third.cli("admin", "sign", id.slice(0, 10))).stdout;
  expect(text).toBe("Signed, and decided: 1 of 3 administrators must sign, instead of 2.\n");
  await eventually("the second one knows", async () => {
    return (await second.ask(adminListResult, "admin", "list")).threshold === 1;
  });
  expect((await second.ask(inviteResult, "invite", "--site", "g")).proposal).toBeUndefined();
});
