import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { ownerIdOf, type PeerId } from "../../../src/base/ids.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { chooseRow, type PlacementClass, type PlacementNode, rowKey } from "../../../src/placement/index.ts";
import { type PlannedRow, planRemoval, type RemovalInput } from "../../../src/upkeep/index.ts";
import { nodesOf, peerNamed } from "../placement/nodes.ts";

const OWNER = ownerIdOf(sha256(utf8("owner")));
const SLOT_BYTES = 1_000;

function swarm(sites: readonly number[], of: PlacementClass, partitions = 32): RemovalInput {
  const nodes = nodesOf(sites);
  const rows = Array.from({ length: partitions }, (_, partition) => row(nodes, of, partition));
  return { rows, nodes, remove: new Set(), freeBytes: new Map() };
}

function row(nodes: readonly PlacementNode[], of: PlacementClass, partition: number): PlannedRow {
  const field = { key: rowKey(OWNER, of, partition), cap: of.cap, candidates: nodes, ownerPeer: undefined };
  return { field, k: of.k, slots: chooseRow({ ...field, n: of.k + of.m }).slots, slotBytes: SLOT_BYTES };
}

function held(input: RemovalInput, peers: ReadonlySet<PeerId>): number {
  const slots = input.rows.flatMap(({ slots: of }) => of);
  return slots.filter((peer) => peer !== undefined && peers.has(peer)).length * SLOT_BYTES;
}

describe("planning a removal", () => {
  const input = swarm([3, 3, 3, 3], { k: 4, m: 3, cap: 2 });

  test("nobody goes, nothing moves", () => {
    const plan = planRemoval(input);
    expect(plan.moves).toEqual([]);
    expect(plan.bytes).toEqual({ held: 0, drained: 0, rebuilt: 0, fromOwners: 0 });
    expect(plan.survival?.after).toEqual(plan.survival?.before);
  });

  test("one node: what it held moves once, k times when it is gone, and survival is as before", () => {
    const remove = new Set([peerNamed("node-0-0")]);
    const plan = planRemoval({ ...input, remove });
    const bytes = held(input, remove);
    expect(bytes).toBeGreaterThan(0);
    expect(plan.bytes).toEqual({ held: bytes, drained: bytes, rebuilt: 4 * bytes, fromOwners: bytes });
    expect(plan.stuck).toEqual([]);
    expect([...plan.received.values()].reduce((sum, one) => sum + one, 0)).toBe(bytes);
    expect(plan.received.has(peerNamed("node-0-0"))).toBe(false);
    const { before, during, after } = must(plan.survival, "survival");
    expect(during.margin).toBe(before.margin - 1);
    expect(after).toEqual(before);
  });

  const site0 = new Set([0, 1, 2].map((node) => peerNamed(`node-0-${node}`)));

  test("a whole site: rows of two lost shards read k once, and the site rule is kept", () => {
    const five = swarm([3, 3, 3, 3, 3], { k: 4, m: 3, cap: 2 });
    const plan = planRemoval({ ...five, remove: site0 });
    expect(plan.stuck).toEqual([]);
    const to = new Map(plan.moves.map((move) => [`${move.row}/${move.slot}`, move.to]));
    let rebuilt = 0;
    for (const [index, { slots }] of five.rows.entries()) {
      const lost = slots.filter((peer) => peer !== undefined && site0.has(peer)).length;
      if (lost > 0) rebuilt += (4 + lost - 1) * SLOT_BYTES;
      const after = slots.map((peer, slot) => to.get(`${index}/${slot}`) ?? peer);
      expect(new Set(after).size).toBe(after.length);
      const sites = after.map(
        (peer) =>
          must(
            five.nodes.find((one) => one.peer === peer),
            "node",
          ).site,
      );
      for (const site of sites) expect(sites.filter((one) => one === site).length).toBeLessThanOrEqual(2);
      expect(sites).not.toContain("site0");
    }
    expect(plan.bytes.rebuilt).toBe(rebuilt);
    expect(plan.bytes.drained).toBe(held(five, site0));
    expect(plan.survival?.after).toEqual(plan.survival?.before);
  });

  test("a whole site, and the others cannot take its part: the plan says so, with the margin that remains", () => {
    const plan = planRemoval({ ...input, remove: site0 });
    // Three sites of two shards each hold six of seven.
    expect(plan.stuck.length).toBe(input.rows.length);
    expect(must(plan.stuck[0], "stuck slot").why).toContain("site has its share");
    expect(plan.bytes.held).toBe(plan.bytes.drained + plan.stuck.length * SLOT_BYTES);
    expect(plan.survival).toMatchObject({
      before: { margin: 3 },
      during: { margin: 1 },
      after: { margin: 2 },
    });
  });

  test("who has no room gets nothing, and room runs out while the plan is made", () => {
    const remove = new Set([peerNamed("node-0-0")]);
    const free = new Map(input.nodes.map(({ peer }) => [peer, SLOT_BYTES]));
    const plan = planRemoval({ ...input, remove, freeBytes: free });
    expect([...plan.received.values()].every((bytes) => bytes <= SLOT_BYTES)).toBe(true);
    expect(plan.moves.length + plan.stuck.length).toBe(held(input, remove) / SLOT_BYTES);
    expect(plan.stuck.length).toBeGreaterThan(0);
  });

  test("a swarm without spare: what cannot be placed is said, with the margin that remains", () => {
    const small = swarm([1, 1, 1, 1], { k: 2, m: 2, cap: 1 });
    const plan = planRemoval({ ...small, remove: new Set([peerNamed("node-3-0")]) });
    expect(plan.moves).toEqual([]);
    expect(plan.stuck.length).toBe(small.rows.length);
    expect(plan.survival).toMatchObject({
      before: { margin: 2 },
      during: { margin: 1 },
      after: { margin: 1 },
    });
  });

  test("the plan for one node is what placing without it gives: it moves what it held and nothing else", () => {
    const remove = new Set([peerNamed("node-2-1")]);
    const plan = planRemoval({ ...input, remove });
    for (const move of plan.moves) {
      expect(remove.has(move.from)).toBe(true);
      expect(input.rows[move.row]?.slots[move.slot]).toBe(move.from);
    }
  });
});
