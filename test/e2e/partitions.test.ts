import { afterAll, beforeAll, expect, it } from "vitest";
import { createGuest } from "../../src/adapters/libp2p/index.ts";
import { must } from "../../src/base/assert.ts";
import { parsePeerId } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { encodeToken, guestSeed, parseToken } from "../../src/membership/token.ts";
import { errorOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { Links } from "../support/links.ts";
import { makeTree } from "../support/trees.ts";

// Real daemons between which connections are cut: who does not hear of a newcomer, and a token that is used on both sides.

let swarm: DaemonSwarm;
let links: Links;

beforeAll(async () => {
  links = await Links.create(7);
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"], beforeStarting: (node) => links.attach(node) });
});
afterAll(async () => {
  await swarm?.dispose();
  await links?.dispose();
});

async function stateOf(seen: TestNode, by: TestNode): Promise<string | undefined> {
  return (await by.peers()).find(({ peerId }) => peerId === seen.peerId)?.state;
}

async function mutuallyAlive(a: TestNode, b: TestNode): Promise<boolean> {
  return (await stateOf(a, b)) === "alive" && (await stateOf(b, a)) === "alive";
}

/** A newcomer's home, made through one member, which may be the only one that it reaches. */
async function joinThrough(member: TestNode, token: string): Promise<TestNode> {
  const [host, port] = links.address(member).split(":");
  const address = `/ip4/${host}/tcp/${port}`;
  const peer = must(parsePeerId(member.peerId), "peer id");
  const content = { ...parseToken(token), addresses: [{ peer, address }] };
  const node = await swarm.join(content.site, { token: encodeToken(content) });
  links.attach(node);
  return node;
}

it("a newcomer of whom a member has not heard is let in by it within seconds of anybody else's reaching it", async () => {
  const [a, b, x] = [swarm.node(0), swarm.node(1), swarm.node(2)];
  links.cut([a, b], [x]);
  const newcomer = await joinThrough(a, await a.invite("d"));
  await newcomer.start();
  await eventually("x turns it away, and nobody can introduce it", () => {
    const turned = x.logged("stranger-turned-away").some((line) => line["stranger"] === newcomer.peerId);
    return turned && newcomer.logged("not-introduced").some((line) => line["to"] === x.peerId);
  });
  expect(await stateOf(newcomer, x)).toBeUndefined();
  const fromMs = performance.now();
  links.heal([a], [x]);
  await eventually("they meet", () => mutuallyAlive(newcomer, x));
  console.log(`the newcomer was let in ${Math.round(performance.now() - fromMs)} ms after the link was back`);
  links.heal([b], [x]);
  await swarm.allAlive();
});

it("a token used on both sides of a partition: one stays, the other says why not, and gets in by a new one", async () => {
  const [a, b, x, third] = [swarm.node(0), swarm.node(1), swarm.node(2), swarm.node(3)];
  const token = await a.invite("e");
  await eventually("both sides know the token", async () => {
    const guest = await createGuest({ seed: guestSeed(parseToken(token), 0), log: SILENT_LOG });
    try {
      await guest.dial(links.address(x));
      return true;
    } finally {
      await guest.stop();
    }
  });
  links.cut([a, b], [x, third]);
  const left = await joinThrough(a, token);
  const right = await joinThrough(x, token);
  links.cut([left], [x, third, right]);
  links.cut([right], [a, b]);
  await Promise.all([left.start(), right.start()]);
  await eventually("each is let in on its side", async () => {
    return (await mutuallyAlive(left, a)) && (await mutuallyAlive(right, x));
  });
  const standings = async () =>
    (await Promise.all([left.status(), right.status()])).map(({ standing }) => standing.state);
  expect(await standings()).toEqual(["member", "member"]);

  links.heal([a, b, left], [x, third, right]);
  await eventually("one of them is told", async () => (await standings()).includes("unlisted"));
  await eventually("nobody lists it any more", async () => {
    const lists = await Promise.all([a, b, x, third].map((node) => node.peers()));
    return lists.every((peers) => peers.filter(({ site }) => site === "e").length === 1);
  });
  const [winner, loser] = (await standings())[0] === "unlisted" ? [right, left] : [left, right];
  expect(await standings()).toContain("member");
  expect(await stateOf(winner, a)).toBe("alive");
  expect(loser.logged("fenced").at(-1)).toMatchObject({ state: "unlisted", by: winner.peerId });

  const said = await loser.cli("status");
  expect(said.status).toBe(4);
  expect(said.stdout).toContain("UNLISTED, read-only");
  expect(said.stdout).toContain(`(${winner.peerId.slice(0, 12)})`);
  expect(said.stdout).toContain("The token of this node was used for another node, which counts.");
  const tree = makeTree(swarm.scratch("tree"), { seed: "twice", files: 5, averageBytes: 100_000 });
  const refused = errorOf(await loser.cli("snapshot", tree, "--json"));
  expect(refused).toMatchObject({ status: 6, code: "NOT_A_MEMBER", detail: { displacedBy: winner.peerId } });
  const inWords = await loser.cli("snapshot", tree);
  expect(inWords.status).toBe(6);
  expect(inWords.stderr).toContain(`its token was also used for ${winner.peerId}, which counts`);
  // Nothing of it is left in what the others believe, and the one that counts is a node like any other.
  expect((await winner.ask(snapshotResult, "snapshot", tree)).survives.sites).toBeGreaterThan(0);

  await loser.stop();
  const adopted = await loser.cli(
    "adopt",
    await a.invite("f"),
    "--recovery-key-out",
    `${loser.home}.key-2`,
    "--json",
  );
  expect(adopted.status).toBe(0);
  await loser.start();
  await swarm.allAlive();
  expect((await loser.ask(snapshotResult, "snapshot", tree)).survives.sites).toBeGreaterThan(0);
});
