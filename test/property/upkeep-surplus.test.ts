import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { must } from "../../src/base/assert.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import type { Slot } from "../../src/placement/index.ts";
import {
  type Holder,
  type KeepReason,
  keptAnyway,
  SURPLUS_RULES,
  type SurplusFacts,
  surplusVerdict,
} from "../../src/upkeep/index.ts";
import { peerNamed } from "../unit/placement/nodes.ts";
import { holder, standing } from "../unit/upkeep/world.ts";

const NAMES = ["a", "b", "c", "d", "e", "f"];
const SELF = peerNamed("self");

/** Everything speaks for dropping: four holders, all proven, the named one has promised. */
function goodFacts(index = 1): SurplusFacts {
  const slots = NAMES.slice(0, 4).map(peerNamed);
  const holders = new Map(NAMES.map((name): [PeerId, Holder] => [peerNamed(name), holder(name, "x")]));
  const proofs = new Map(slots.map((peer, at) => [at, { peer, ageMs: 23 * HOUR_MS }]));
  const promise = { peer: must(slots[index], "slot"), ageMs: 0, forMs: SURPLUS_RULES.promisedForMs };
  return {
    ...{ self: SELF, index, n: 4, slots, holders, proofs, promise, isPromised: false },
    ...{ surplusForMs: SURPLUS_RULES.settledMs, unaskedForMs: SURPLUS_RULES.settledMs },
    ...{ isKnownLost: () => false, weather: { kind: "calm" } },
  };
}

/** One thing that is not as it has to be, at a slot where that matters. */
const SPOILT: Readonly<
  Record<string, (facts: SurplusFacts, at: number) => [Partial<SurplusFacts>, KeepReason]>
> = {
  "no map": () => [{ slots: undefined }, "unknown-map"],
  "a map of another shape": ({ slots = [] }) => [{ slots: slots.slice(1) }, "unknown-map"],
  "it is named itself": ({ slots = [], index }) => [{ slots: slots.with(index, SELF) }, "named"],
  "it has promised": () => [{ isPromised: true }, "promised"],
  frost: () => [{ weather: { kind: "frozen", untilMs: 1, gone: [] } }, "weather"],
  "cut off": () => [{ weather: { kind: "cut-off", seen: 1, of: 4 } }, "weather"],
  "surplus since a moment ago": () => [{ surplusForMs: SURPLUS_RULES.settledMs - 1 }, "fresh"],
  "asked for a moment ago": () => [{ unaskedForMs: SURPLUS_RULES.settledMs - 1 }, "fresh"],
  "no time at all": () => [{ surplusForMs: Number.NaN }, "fresh"],
  "another shard of the segment here": ({ slots = [], index }, at) => [
    { slots: slots.with(at === index ? (at + 1) % 4 : at, SELF) },
    "in-row",
  ],
  "nobody in a slot": ({ slots = [] }, at) => [{ slots: slots.with(at, undefined) }, "empty-slot"],
  "one peer twice": ({ slots = [] }, at) => [{ slots: slots.with(at, slots[(at + 1) % 4]) }, "crowded"],
  "a holder that is no member": ({ slots = [] }, at) => [
    { slots: slots.with(at, peerNamed("nobody")) },
    "holder-away",
  ],
  "a holder unheard": (facts, at) => [
    withHolder(facts, at, { liveness: standing("unreachable") }),
    "holder-away",
  ],
  "a holder that leaves": (facts, at) => [
    withHolder(facts, at, { liveness: standing("draining") }),
    "holder-away",
  ],
  "a holder in doubt": (facts, at) => [
    withHolder(facts, at, { trust: { kind: "doubted", sinceMs: 0, auditors: [] } }),
    "holder-doubted",
  ],
  "a loss that is known": (_, at) => [{ isKnownLost: (index) => index === at }, "known-lost"],
  "no proof": ({ proofs }, at) => [
    { proofs: new Map([...proofs].filter(([index]) => index !== at)) },
    "not-proven",
  ],
  "a proof by somebody else": ({ proofs }, at) => [
    { proofs: new Map(proofs).set(at, { peer: peerNamed("f"), ageMs: 0 }) },
    "not-proven",
  ],
  "a proof of yesterday": ({ proofs, slots }, at) => [
    {
      proofs: new Map(proofs).set(at, {
        peer: must(slots?.[at], "slot"),
        ageMs: SURPLUS_RULES.provenForMs + 1,
      }),
    },
    "not-proven",
  ],
  "no promise": () => [{ promise: undefined }, "no-promise"],
  "a promise of another holder": ({ promise, slots, index }) => [
    { promise: { ...must(promise, "promise"), peer: must(slots?.[(index + 1) % 4], "slot") } },
    "no-promise",
  ],
  "a promise of yesterday": ({ promise }) => [
    { promise: { ...must(promise, "promise"), ageMs: SURPLUS_RULES.provenForMs + 1 } },
    "no-promise",
  ],
  "a short promise": ({ promise }) => [
    { promise: { ...must(promise, "promise"), forMs: SURPLUS_RULES.promisedForMs - 1 } },
    "no-promise",
  ],
};

function withHolder(facts: SurplusFacts, at: number, changes: Partial<Holder>): Partial<SurplusFacts> {
  const peer = must(facts.slots?.[at], "slot");
  const before = must(facts.holders.get(peer), "holder");
  return { holders: new Map(facts.holders).set(peer, { ...before, ...changes }) };
}

describe("a copy too many", () => {
  test("goes when everything speaks for it", () => {
    for (const index of [0, 1, 2, 3]) expect(surplusVerdict(goodFacts(index))).toEqual({ kind: "drop" });
  });

  test.each(Object.keys(SPOILT))("stays with %s", (name) => {
    const spoil = must(SPOILT[name], "case");
    for (const index of [0, 1, 2, 3]) {
      for (const at of [0, 1, 2, 3]) {
        const facts = goodFacts(index);
        const [changes, why] = spoil(facts, at);
        expect(surplusVerdict({ ...facts, ...changes })).toMatchObject({ kind: "keep", why });
      }
    }
  });

  test("stays whatever else is right, as soon as one thing is not", () => {
    const spoilers = fc.uniqueArray(fc.constantFrom(...Object.keys(SPOILT)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(spoilers, fc.nat(3), fc.nat(3), (names, index, at) => {
        // Later changes may put right what earlier ones spoilt, never the last one.
        let facts = goodFacts(index);
        for (const name of names.slice(1))
          facts = { ...facts, ...must(SPOILT[name], "case")(goodFacts(index), at)[0] };
        facts = { ...facts, ...must(SPOILT[names[0] ?? ""], "case")(goodFacts(index), at)[0] };
        expect(surplusVerdict(facts).kind).toBe("keep");
        if (keptAnyway(facts) !== undefined) expect(keptAnyway(facts)).toEqual(surplusVerdict(facts));
      }),
    );
  });
});

/**
 * Shard 0 of a segment and three nodes that may have it. Each knows the owner's map as of some version, never an older one than before; what
 * a node saw of another it keeps until it acts upon it, however much has happened since.
 */
class Row {
  readonly maps: PeerId[];
  readonly copies = new Set<PeerId>();
  readonly #views = new Map<PeerId, number>();
  readonly #promised = new Set<PeerId>();
  readonly #seen = new Map<PeerId, { readonly named: PeerId; readonly promised: boolean }>();
  readonly #others = ["x", "y"].map(peerNamed);

  constructor(named: readonly number[]) {
    this.maps = named.map((at) => peerNamed(must(NAMES[at], "name")));
    for (const peer of this.maps) this.copies.add(peer);
  }

  learn(peer: PeerId): void {
    this.#views.set(peer, Math.min((this.#views.get(peer) ?? 0) + 1, this.maps.length - 1));
  }

  /** Asks whom it knows to be named; an honest node proves what it has and promises what it knows itself named for. */
  ask(peer: PeerId): void {
    const named = this.#named(peer);
    if (!this.copies.has(named) || named === peer) return;
    const promised = this.#named(named) === named;
    if (promised) this.#promised.add(named);
    this.#seen.set(peer, { named, promised });
  }

  drop(peer: PeerId): void {
    const seen = this.#seen.get(peer);
    if (!this.copies.has(peer) || seen === undefined) return;
    const slots: Slot[] = [this.#named(peer), ...this.#others];
    const proofs = new Map(
      slots.map((one, at) => [at, { peer: at === 0 ? seen.named : must(one, "slot"), ageMs: 0 }]),
    );
    const promise = { peer: seen.named, ageMs: 0, forMs: SURPLUS_RULES.promisedForMs };
    const holders = new Map(
      [...NAMES, "x", "y"].map((name): [PeerId, Holder] => [peerNamed(name), holder(name, "x")]),
    );
    const verdict = surplusVerdict({
      ...goodFacts(),
      ...{ self: peer, index: 0, n: 3, slots, proofs, holders },
      isPromised: this.#promised.has(peer),
      promise: seen.promised ? promise : undefined,
    });
    if (verdict.kind === "drop") this.copies.delete(peer);
  }

  #named(peer: PeerId): PeerId {
    return must(this.maps[this.#views.get(peer) ?? 0], "map");
  }
}

test("a shard is never dropped by all who have it, whatever each of them knows of the map", () => {
  const steps = fc.array(
    fc.record({ who: fc.nat(2), does: fc.constantFrom("learn", "ask", "drop" as const) }),
    { minLength: 20, maxLength: 60 },
  );
  const maps = fc.array(fc.nat(2), { minLength: 1, maxLength: 5 });
  let dropped = 0;
  fc.assert(
    fc.property(maps, steps, (named, taken) => {
      const row = new Row(named);
      const before = row.copies.size;
      for (const { who, does } of taken) {
        const peer = peerNamed(must(NAMES[who], "name"));
        if (does === "learn") row.learn(peer);
        else if (does === "ask") row.ask(peer);
        else row.drop(peer);
        expect(row.copies.size).toBeGreaterThan(0);
      }
      dropped += before - row.copies.size;
    }),
    { numRuns: 3000 },
  );
  // It would hold for those who never drop anything, too.
  expect(dropped).toBeGreaterThan(100);
});
