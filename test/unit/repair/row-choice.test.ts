import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { NOBODY_APART, type PlacementNode, rankCandidates, type Slot } from "../../../src/placement/index.ts";
import { type ChoiceInput, chooseHolders, type SlotMove } from "../../../src/repair/index.ts";
import { node } from "../placement/nodes.ts";

// Who takes the slots of a row: never two at a site that may have one, whoever comes back or answers late.

const key = utf8("a row");
const absent = (slot: number): SlotMove => ({
  ...{ slot, cause: { t: "absent", witnesses: [new Uint8Array(1)] }, copies: false, fromIsLost: false },
});
const gone = (slot: number): SlotMove => ({
  ...{ slot, cause: { t: "gone-from-roster" }, copies: false, fromIsLost: true },
});
const empty = (slot: number): SlotMove => ({
  ...{ slot, cause: { t: "empty" }, copies: false, fromIsLost: true },
});

function choose(
  nodes: readonly PlacementNode[],
  slots: readonly (PlacementNode | undefined)[],
  moves: readonly SlotMove[],
  changes: Partial<ChoiceInput> = {},
) {
  const input = { slots: slots.map((one) => one?.peer), moves, key, cap: 1, mayCrowd: false, nodes };
  const rest = { listed: nodes, ownerPeer: undefined, refused: new Map(), apart: NOBODY_APART };
  const { chosen, stuck } = chooseHolders({ ...input, ...rest, ...changes });
  const after = input.slots.map(
    (peer, slot): Slot => chosen.find(({ move }) => move.slot === slot)?.to ?? peer,
  );
  const names = after.map((peer) => nodes.find((one) => one.peer === peer)?.host);
  return { names, stuck: stuck.map(({ slot }) => slot), chosen };
}

const [a, b, c, d] = [node("a", "a"), node("b", "b"), node("c", "c"), node("d", "d")];
const away = (one: PlacementNode): PlacementNode => ({ ...one, reachable: false });

describe("where two holders are away and one candidate is left", () => {
  const b2 = node("b2", "b");
  const nodes = [away(a), away(b), c, d, b2];

  it("it takes the slot of the one at its own site, who may come back: not the other's", () => {
    expect(choose(nodes, [a, b, c, d], [absent(0), absent(1)])).toMatchObject({
      ...{ names: ["a", "b2", "c", "d"], stuck: [0] },
    });
  });

  it("it takes either where the other never comes back", () => {
    expect(choose(nodes, [a, b, c, d], [absent(0), gone(1)])).toMatchObject({
      ...{ names: ["b2", "b", "c", "d"], stuck: [1] },
    });
  });

  it("a slot that nobody has does not go to the site of one that is only away", () => {
    expect(choose(nodes, [undefined, b, c, d], [empty(0), absent(1)])).toMatchObject({
      ...{ names: [undefined, "b2", "c", "d"], stuck: [0] },
    });
  });

  it("both sites' share is given up where any further copy is worth more", () => {
    const b3 = node("b3", "b");
    const { names, stuck } = choose([...nodes, b3], [a, b, c, d], [absent(0), absent(1)], { mayCrowd: true });
    expect(stuck).toEqual([]);
    expect(new Set(names)).toEqual(new Set(["b2", "b3", "c", "d"]));
  });
});

it("two that are away swap their sites where all of them find somebody", () => {
  const [a2, b2] = [node("a2", "a"), node("b2", "b")];
  const { names, stuck } = choose([away(a), away(b), c, d, a2, b2], [a, b, c, d], [absent(0), absent(1)]);
  expect(stuck).toEqual([]);
  expect(new Set(names)).toEqual(new Set(["a2", "b2", "c", "d"]));
});

it("what one leaves makes room for the next", () => {
  // b2 can only take the slot of b; e then goes in the place of a.
  const [b2, e] = [node("b2", "b"), node("e", "e")];
  const { names, stuck } = choose([away(a), away(b), c, d, b2, e], [a, b, c, d], [absent(0), absent(1)]);
  expect(stuck).toEqual([]);
  expect(new Set(names)).toEqual(new Set(["b2", "e", "c", "d"]));
});

it("a holder that did not answer just now fills its site for an empty slot: it takes its own shard later", () => {
  const c2 = node("c2", "c");
  const refused = new Map([[c.peer, "not wanted" as const]]);
  expect(choose([a, b, c, c2], [a, b, c, undefined], [empty(3)], { refused })).toMatchObject({
    ...{ names: ["a", "b", "c", undefined], stuck: [3] },
  });
});

it("a holder that the rank keeps from taking another slot fills its site, too", () => {
  const many = Array.from({ length: 60 }, (_, i) => node(`n${i}`, `site${i % 30}`));
  const ranked = rankCandidates(key, many);
  const last = must(ranked.at(-1), "node");
  const atItsSite = ranked.filter(({ site }) => site === last.site);
  const first = must(atItsSite[0], "node");
  // Everybody else is away: only the other one at the site of the last is up.
  const nodes = many.map((one) => (one.peer === last.peer || one.peer === first.peer ? one : away(one)));
  const others = ranked.filter(({ site }) => site !== last.site).slice(0, 2);
  expect(choose(nodes, [...others, last, undefined], [empty(3)]).stuck).toEqual([3]);
});
