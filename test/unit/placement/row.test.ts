import { describe, expect, test } from "vitest";
import { utf8 } from "../../../src/base/bytes.ts";
import { ownerIdOf, type PeerId } from "../../../src/base/ids.ts";
import {
  type CannotPlace,
  candidateRank,
  choosePool,
  chooseRow,
  type PlacementNode,
  rankCandidates,
  replacementFor,
  rowKey,
} from "../../../src/placement/index.ts";
import { node, nodesOf, peerNamed } from "./nodes.ts";

const key = utf8("a row");
const owner = ownerIdOf(new Uint8Array(32).fill(7));

function siteOf(nodes: readonly PlacementNode[], peer: PeerId | undefined): string {
  return nodes.find((one) => one.peer === peer)?.site ?? "nowhere";
}

function perSite(
  nodes: readonly PlacementNode[],
  slots: readonly (PeerId | undefined)[],
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const peer of slots) counts[siteOf(nodes, peer)] = (counts[siteOf(nodes, peer)] ?? 0) + 1;
  return counts;
}

describe("chooseRow", () => {
  test("takes the first candidates in order when nothing stands in their way", () => {
    const nodes = nodesOf([1, 1, 1, 1, 1]);
    const row = chooseRow({ key, n: 3, cap: 1, candidates: nodes, ownerPeer: undefined });
    expect(row.slots).toEqual(
      rankCandidates(key, nodes)
        .slice(0, 3)
        .map(({ peer }) => peer),
    );
  });

  test("keeps the cap at every site, whatever the key", () => {
    const nodes = nodesOf([2, 3, 3]);
    for (let i = 0; i < 200; i++) {
      const row = chooseRow({ key: utf8(`${i}`), n: 6, cap: 2, candidates: nodes, ownerPeer: undefined });
      expect(row.ok).toBe(true);
      expect(perSite(nodes, row.slots)).toEqual({ site0: 2, site1: 2, site2: 2 });
      expect(new Set(row.slots).size).toBe(6);
    }
  });

  test("never gives the owner's node a shard, even when nobody else is left", () => {
    const nodes = nodesOf([1, 1, 1]);
    const ownerPeer = nodes[0]?.peer;
    const row = chooseRow({ key, n: 3, cap: 1, candidates: nodes, ownerPeer }) as CannotPlace;
    expect(row.ok).toBe(false);
    expect(row.slots).not.toContain(ownerPeer);
    expect(row.skipped).toContainEqual({ peer: ownerPeer, reason: "owner" });
  });

  test("says who was passed over and why, and how far it came", () => {
    const candidates = [
      node("away", "a", { reachable: false }),
      node("full", "a", { full: true }),
      node("leaving", "b", { draining: true }),
      node("doubted", "b", { suspected: true }),
      node("empty", "b", { weight: 0 }),
      node("refuser", "c"),
      node("good", "c"),
      node("also good", "c"),
    ];
    const exclude = new Map([[peerNamed("refuser"), "refused" as const]]);
    const row = chooseRow({ key, n: 3, cap: 1, candidates, ownerPeer: undefined, exclude }) as CannotPlace;
    expect(row.ok).toBe(false);
    expect(row.found).toBe(1);
    expect(row.wanted).toBe(3);
    expect(row.slots).toHaveLength(3);
    expect(row.slots.slice(1)).toEqual([undefined, undefined]);
    const reasons = Object.fromEntries(row.skipped.map(({ peer, reason }) => [peer, reason]));
    expect(reasons).toMatchObject({
      [peerNamed("away")]: "unreachable",
      [peerNamed("full")]: "full",
      [peerNamed("leaving")]: "draining",
      [peerNamed("doubted")]: "suspected",
      [peerNamed("empty")]: "no quota",
      [peerNamed("refuser")]: "refused",
    });
    expect(row.skipped.filter(({ reason }) => reason === "site has its share")).toHaveLength(1);
    expect(row.why).toContain("3 shards need 3 holders with at most 1 at one site, and 1 can be had");
    expect(row.why).toContain("1 unreachable");
  });

  test("uses different hosts as far as there are any, then evens them out", () => {
    const candidates = nodesOf([3, 3]).map((one, i) => ({ ...one, host: `host${i % 4}` }));
    for (let i = 0; i < 50; i++) {
      const request = { key: utf8(`${i}`), cap: 3, candidates, ownerPeer: undefined };
      const hosts = (n: number) =>
        chooseRow({ ...request, n }).slots.map((peer) => candidates.find((one) => one.peer === peer)?.host);
      expect(new Set(hosts(4)).size).toBe(4);
      expect(new Set(hosts(6)).size).toBe(4);
    }
  });

  test("nine daemons on one machine work", () => {
    const candidates = nodesOf([2, 3, 3]).map((one) => ({ ...one, host: "laptop" }));
    expect(chooseRow({ key, n: 6, cap: 2, candidates, ownerPeer: undefined }).ok).toBe(true);
  });
});

describe("replacementFor", () => {
  const nodes = nodesOf([3, 3, 3]);
  const field = { key, cap: 2, candidates: nodes, ownerPeer: undefined };
  const row = chooseRow({ ...field, n: 6 }).slots;

  test("is the next in the same order that keeps the site rule", () => {
    for (let slot = 0; slot < row.length; slot++) {
      const choice = replacementFor(row, slot, field);
      expect(choice.ok).toBe(true);
      if (!choice.ok) continue;
      const after = row.with(slot, choice.peer);
      expect(row).not.toContain(choice.peer);
      expect(Math.max(...Object.values(perSite(nodes, after)))).toBeLessThanOrEqual(2);
      // Only a peer of the site that lost one can come in: the others have two each.
      expect(siteOf(nodes, choice.peer)).toBe(siteOf(nodes, row[slot]));
      expect(choice.rank).toBe(candidateRank(key, nodes, choice.peer));
    }
  });

  test("goes on to the next one after a refusal, until there is nobody", () => {
    const slot = 0;
    const exclude = new Map<PeerId, "refused">();
    const first = replacementFor(row, slot, { ...field, exclude });
    if (!first.ok) throw new Error("there is one candidate");
    exclude.set(first.peer, "refused");
    const second = replacementFor(row, slot, { ...field, exclude });
    expect(second.ok).toBe(false);
    if (second.ok) return;
    expect(second.skipped).toContainEqual({ peer: first.peer, reason: "refused" });
    expect(siteOf(nodes, second.overCap)).not.toBe(siteOf(nodes, row[slot]));
  });

  test("fills a slot that nobody had", () => {
    const away = nodes.map((one) => (one.site === "site1" ? { ...one, reachable: false } : one));
    const partly = chooseRow({ ...field, n: 6, candidates: away }) as CannotPlace;
    expect(partly.found).toBe(4);
    const vacant = partly.slots.indexOf(undefined);
    const choice = replacementFor(partly.slots, vacant, field);
    expect(choice.ok && siteOf(nodes, choice.peer)).toBe("site1");
  });

  test("counts neither excluded nor unknown holders against their site", () => {
    const lost = row.filter((peer) => siteOf(nodes, peer) === "site0");
    expect(lost).toHaveLength(2);
    const slot = row.findIndex((peer) => siteOf(nodes, peer) === "site0");
    const gone = new Map(
      nodes.filter((one) => one.site !== "site0").map((one) => [one.peer, "lost" as const]),
    );
    const choice = replacementFor(row, slot, { ...field, exclude: gone });
    expect(choice.ok && siteOf(nodes, choice.peer)).toBe("site0");
    const strangers = replacementFor([peerNamed("stranger"), peerNamed("other")], 0, { ...field, cap: 1 });
    expect(strangers.ok).toBe(true);
  });

  test("counts whoever is passed over only for a moment against its site, until another one has its slot", () => {
    const candidates = [node("slow", "a"), node("near", "a"), node("far", "b"), node("lost", "c")];
    const [slow, near, far, lost] = candidates.map(({ peer }) => peer);
    const exclude = new Map([
      [slow, "not wanted" as const],
      [lost, "lost" as const],
    ]) as ReadonlyMap<PeerId, "not wanted" | "lost">;
    const tried = { key, cap: 1, candidates, ownerPeer: undefined, exclude, excludedMayReturn: true };
    expect(replacementFor([slow, far, undefined], 2, tried).ok).toBe(false);
    expect(replacementFor([slow, far, undefined], 0, tried)).toMatchObject({ ok: true, peer: near });
    expect(replacementFor([slow, far, undefined], 2, { ...tried, excludedMayReturn: false }).ok).toBe(true);
  });

  test("prefers a host that has no shard of the segment yet", () => {
    const candidates = [
      node("holder", "a", { host: "h1" }),
      node("same machine", "b", { host: "h1", weight: 1e9 }),
      node("other machine", "b", { host: "h2" }),
    ];
    const choice = replacementFor([peerNamed("holder"), undefined], 1, { ...field, cap: 1, candidates });
    expect(choice.ok && choice.peer).toBe(peerNamed("other machine"));
  });
});

describe("rowKey and choosePool", () => {
  test("rows of different owners, classes and partitions have different keys", () => {
    const of = { k: 3, m: 3, cap: 2 };
    const keys = [
      rowKey(owner, of, 0),
      rowKey(owner, of, 1),
      rowKey(owner, { ...of, cap: 3 }, 0),
      rowKey(ownerIdOf(new Uint8Array(32)), of, 0),
    ].map((bytes) => Buffer.from(bytes).toString("hex"));
    expect(new Set(keys).size).toBe(4);
    expect(keys[1]).toBe(`636169726e2f312f726f7700${"07".repeat(32)}00000003000000030000000200000001`);
  });

  test("a pool is bounded, spread over sites, and without the owner", () => {
    const nodes = nodesOf([40, 40, 2, 2]);
    const ownerPeer = nodes[0]?.peer;
    const pool = choosePool(owner, nodes, ownerPeer);
    expect(pool).toHaveLength(64);
    expect(
      perSite(
        nodes,
        pool.map(({ peer }) => peer),
      ),
    ).toEqual({ site0: 30, site1: 30, site2: 2, site3: 2 });
    expect(pool.map(({ peer }) => peer)).not.toContain(ownerPeer);
    expect(choosePool(owner, nodesOf([2, 2]), undefined)).toHaveLength(4);
  });
});
