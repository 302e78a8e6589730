import { join } from "node:path";
import { expect, it } from "vitest";
import { MINUTE_MS, SECOND_MS } from "../../src/base/units.ts";
import { PeerClient } from "../../src/exchange/index.ts";
import { noteHolders } from "../../src/node/note-holders.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Peers that are connected and answer nothing: what an owner asks of everybody waits for none of them.

const scratch = scratchDirectories();
/** Less than a request that hangs takes, by much. */
const PROMPT_MS = 15 * SECOND_MS;

async function withHungPeers(): Promise<{ swarm: Swarm; owner: Machine; hung: readonly Machine[] }> {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, seed: "hung" });
  const owner = swarm.member(0);
  await swarm.clock.during(owner.snapshot([buildPlainTree(join(scratch(), "tree"), swarm.rng, 10)]));
  const hung = [swarm.member(4), swarm.member(8)];
  for (const { peer } of hung) swarm.networks.hang(peer, true);
  return { swarm, owner, hung };
}

async function tookMs(swarm: Swarm, doing: Promise<unknown>): Promise<number> {
  const fromMs = swarm.clock.monotonicMs();
  await swarm.clock.during(doing);
  return swarm.clock.monotonicMs() - fromMs;
}

it("comparing with the pool takes seconds, and counts those that answer", async () => {
  const { swarm, owner, hung } = await withHungPeers();
  const comparing = owner.node.repository.heads.compareWithPool();
  expect(await tookMs(swarm, comparing)).toBeLessThan(PROMPT_MS);
  const { asked, answered } = await comparing;
  expect(asked - answered).toBe(hung.length);
  await swarm.stop();
});

it("a new head is with all others in seconds, and with those that hung once they are back", async () => {
  const { swarm, owner, hung } = await withHungPeers();
  const { repository } = owner.node;
  const file = put(scratch(), "file", swarm.rng.bytes(2000));
  await swarm.clock.during(owner.snapshot([file], { wait: "queued" }));
  const before = repository.heads.keepers;
  const late = hung.map(({ peer }) => peer).filter((peer) => repository.heads.pool().includes(peer));
  expect(late.length).toBeGreaterThan(0);
  expect(before.length).toBe(repository.heads.pool().length - late.length);
  expect(await tookMs(swarm, repository.heads.publish())).toBeLessThan(PROMPT_MS);
  for (const { peer } of hung) swarm.networks.hang(peer, false);
  await swarm.clock.advance(3 * MINUTE_MS);
  expect(repository.heads.keepers).toEqual(expect.arrayContaining(late));
  // It is on disk too.
  await owner.stop();
  await owner.start();
  expect(owner.node.repository.heads.keepers).toEqual(expect.arrayContaining(late));
  await swarm.stop();
});

it("asking holders what they have takes seconds, and names who said nothing", async () => {
  const { swarm, owner, hung } = await withHungPeers();
  const { catalog, maps } = owner.node.repository;
  const refs = [];
  for await (const [ref] of catalog.segments.all()) refs.push(ref);
  const { network } = owner.node.ports;
  const client = new PeerClient({ network, clock: swarm.clock }, { swarm: owner.node.roster.swarm });
  const noting = noteHolders(
    { catalog, maps, client, clock: swarm.clock },
    refs,
    new AbortController().signal,
  );
  expect(await tookMs(swarm, noting)).toBeLessThan(PROMPT_MS);
  const { silent } = await noting;
  const holders = new Set(maps.holders());
  expect(silent).toEqual(new Set(hung.map(({ peer }) => peer).filter((peer) => holders.has(peer))));
  expect(silent.size).toBeGreaterThan(0);
  await swarm.stop();
});
