import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { Fault } from "../../src/base/fault.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { adminHandlers } from "../../src/control/node-admin.ts";
import { administratorAlerts } from "../../src/control/node-admin-alerts.ts";
import { nodeHandlers } from "../../src/control/node-handlers.ts";
import { Administrators, type Node } from "../../src/node/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
let swarm: Swarm | undefined;
afterEach(async () => {
  await swarm?.stop();
  swarm = undefined;
});

const context = { signal: new AbortController().signal, progress: () => {} };
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  );

/** Every command by which an administrator decides something, and what each came to. */
async function decisionsAt(node: Node, waiting: string): Promise<Record<string, string>> {
  const handlers = { ...adminHandlers(node), ...nodeHandlers(node, { version: "test", stop: () => {} }) };
  const peer = "node2";
  const vote = (said: "sign" | "refuse" | "withdraw") =>
    handlers.adminVote({ id: waiting, vote: said }, context);
  const tried: Record<string, Promise<unknown>> = {
    invite: handlers.invite({ site: "x", expiresMs: HOUR_MS, uses: 1 }, context),
    remove: handlers.remove({ peer, reason: "", barsOwner: false, cancel: false }, context),
    "remove --cancel": handlers.remove({ peer, reason: "", barsOwner: false, cancel: true }, context),
    "site move": handlers.siteMove({ peer, site: "x", cancel: false }, context),
    "site move --cancel": handlers.siteMove({ peer, cancel: true }, context),
    quota: handlers.quota({ peer, quotaBytes: 1e9 }, context),
    "admin confirm": handlers.adminConfirm({ peer }, context),
    "admin add": handlers.adminAdd({ peer }, context),
    "admin remove": handlers.adminRemove({ peer }, context),
    "admin threshold": handlers.adminThreshold({ threshold: 2 }, context),
    "admin sign": vote("sign"),
    "admin refuse": vote("refuse"),
    "admin withdraw": vote("withdraw"),
    "admin export": handlers.adminKey({}, context),
  };
  const names = Object.keys(tried);
  const codes = await Promise.all(Object.values(tried).map(code));
  return Object.fromEntries(names.map((name, index) => [name, must(codes[index], "code")]));
}

async function threeAdministrators(): Promise<{ swarm: Swarm; waiting: string }> {
  const made = await Swarm.create({ sites: ["a", "b", "c", "d"], seed: "fenced administrators" });
  swarm = made;
  await made.clock.advance(MINUTE_MS);
  const founder = made.member(0).node;
  await founder.administrators.add("node1");
  await founder.administrators.add("node2");
  await made.settle();
  const announced = await founder.administration.moveSite("node3", "y");
  await made.settle();
  return { swarm: made, waiting: toHex(must(announced.pending, "a move that waits").hash) };
}

it("an administrator's home that was removed decides nothing, and says why", async () => {
  const { swarm, waiting } = await threeAdministrators();
  const [first, second, third] = [swarm.member(0), swarm.member(1), swarm.member(2)];
  await second.node.administration.remove("node0", { reason: "", barsOwner: false });
  await swarm.settle();
  await third.node.administration.remove("node0", { reason: "", barsOwner: false });
  await swarm.settle();
  await swarm.clock.advance(MINUTE_MS);
  await swarm.settle();
  expect(first.node.standing.state).toBe("removed");
  // Its key is no less an administrator's: that is the swarm's to decide.
  expect(first.node.administrators.includesThisNode).toBe(true);
  const before = second.node.roster.digest();
  const codes = await decisionsAt(first.node, waiting);
  expect(new Set(Object.values(codes))).toEqual(new Set(["REMOVED"]));
  expect(Object.keys(codes)).toHaveLength(14);
  expect(administratorAlerts(first.node)).toEqual([]);
  await swarm.settle();
  expect(second.node.roster.digest()).toEqual(before);
  // Looking goes on.
  const { adminList, adminPending } = adminHandlers(first.node);
  expect((await adminList({}, context)).administrators).toHaveLength(3);
  expect((await adminPending({}, context)).threshold).toBe(1);
});

it("an administrator's home that was recovered elsewhere decides nothing, and what others decided goes on", async () => {
  const { swarm, waiting } = await threeAdministrators();
  const [first, second] = [swarm.member(0), swarm.member(1)];
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(first.snapshot([buildPlainTree(join(scratch(), "tree"), swarm.rng, 2)]));
  await swarm.clock.during(recoverOnto(fresh, first, second));
  swarm.members.push(fresh);
  await swarm.settle();
  await swarm.clock.advance(MINUTE_MS);
  await swarm.settle();
  expect(first.node.standing.state).toBe("fenced");
  const codes = await decisionsAt(first.node, waiting);
  expect(new Set(Object.values(codes))).toEqual(new Set(["FENCED"]));
  await swarm.clock.jump(DAY_MS + HOUR_MS);
  expect(second.node.roster.member(swarm.member(3).peer)?.site).toBe("y");
});

it("a home made to look only says that it signs nothing", async () => {
  const { swarm } = await threeAdministrators();
  const { node } = swarm.member(0);
  const components = { ...node.ports, ...node, fence: { check: () => {} }, isGuest: true };
  const guest = new Administrators(components, []);
  expect(() => guest.key()).toThrow("recover --read-only");
});
