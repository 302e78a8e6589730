import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { incarnationOf, ownerIdOf, type PeerId } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import {
  EMPTY_MAP,
  openClass,
  openGeneration,
  rankCandidates,
  rowKey,
  slotsOf,
  withRepairs,
} from "../../../src/placement/index.ts";
import {
  checkRepair,
  currentRepair,
  ledgerOf,
  REPAIR_RULES,
  REPAIRS_MAX,
  type RepairCause,
  type RepairContext,
  type RepairRecord,
  recordsOf,
  type SilenceWitness,
  slotChangeOf,
} from "../../../src/upkeep/index.ts";
import { nodesOf, peerNamed } from "../placement/nodes.ts";

const OWNER = ownerIdOf(sha256(utf8("owner")));
const LIFE = incarnationOf(new Uint8Array(16));
const CLASS = { k: 2, m: 2, cap: 2 };
const PARTITIONS = 16;
const AT = { classId: 0, partition: 5, fromSegment: 5 };
const NOW_MS = 100 * DAY_MS;

const nodes = nodesOf([3, 3, 3]);
const members = nodes.map(({ peer, site }) => ({ peer, site }));
const ranked = rankCandidates(rowKey(OWNER, CLASS, AT.partition), nodes).map(({ peer }) => peer);
const at = (rank: number): PeerId => must(ranked[rank], "candidate");
/** Slots 0 to 3 are at the candidates 0 to 3; candidate 4 is the next. */
const slots = [at(0), at(1), at(2), at(3)];
const from = at(1);

const context: RepairContext = {
  owner: OWNER,
  incarnation: LIFE,
  class: CLASS,
  partitions: PARTITIONS,
  at: AT,
  generation: {
    fromSegment: AT.fromSegment,
    slots: slots.map((peer) => ({ peer, ownerVersion: 3, repairs: 0 })),
  },
  nextFromSegment: 53,
  slotsNow: slots,
  lost: new Set(),
  away: new Set(),
  ownerPeer: undefined,
  rosterAt: (epoch) => (epoch === 7 ? { candidates: nodes, members } : undefined),
  hearings: { self: at(0), runsOf: () => [] },
  nowMs: NOW_MS,
  rules: REPAIR_RULES,
};

function witness(observer: PeerId, changes: Partial<SilenceWitness> = {}): SilenceWitness {
  return { observer, target: from, silentSinceMs: NOW_MS - 10 * HOUR_MS, atMs: NOW_MS - HOUR_MS, ...changes };
}

/** One at each site, not the holder itself. */
const witnesses = ["site0", "site1", "site2"].map((site) =>
  witness(
    must(
      members.find((one) => one.site === site && one.peer !== from),
      "observer",
    ).peer,
  ),
);
const absent: RepairCause = { kind: "absent", witnesses };

function record(changes: Partial<RepairRecord> = {}): RepairRecord {
  const to = changes.to ?? at(4);
  return {
    owner: OWNER,
    incarnation: LIFE,
    at: AT,
    slot: 1,
    ownerVersion: 3,
    repairs: 1,
    from,
    to,
    rank: ranked.indexOf(to),
    rosterEpoch: 7,
    cause: absent,
    receipt: { peer: to, owner: OWNER, incarnation: LIFE, segment: 21, index: 1, timeMs: NOW_MS - MINUTE_MS },
    madeMs: NOW_MS,
    hash: sha256(utf8(to)),
    ...changes,
  };
}

function refusal(changes: Partial<RepairRecord>, around: Partial<RepairContext> = {}): string {
  const verdict = checkRepair(record(changes), { ...context, ...around });
  return verdict.kind === "refused"
    ? verdict.reason
    : verdict.kind === "waits"
      ? `waits for ${verdict.for}`
      : "holds";
}

function receipt(changes: Partial<RepairRecord["receipt"]>): Partial<RepairRecord> {
  return { receipt: { ...record().receipt, ...changes } };
}

function seenBy(...given: SilenceWitness[]): Partial<RepairRecord> {
  return { cause: { kind: "absent", witnesses: given } };
}

describe("a repair record", () => {
  test("with a cause, a receipt and its rank holds", () => {
    expect(refusal({})).toBe("holds");
  });

  test.each<[string, Partial<RepairRecord>]>([
    ["another-row", { owner: ownerIdOf(sha256(utf8("somebody"))) }],
    ["another-row", { at: { ...AT, fromSegment: 21 } }],
    ["no-such-slot", { slot: 4 }],
    ["superseded", { ownerVersion: 2 }],
    ["superseded", { repairs: 0 }],
    ["waits for map", { ownerVersion: 4 }],
    ["waits for roster", { rosterEpoch: 8 }],
    ["count-impossible", { repairs: REPAIRS_MAX + 1 }],
    ["count-impossible", { repairs: 1.5 }],
    ["stays-where-it-is", { from: at(4) }],
    ["from-the-future", { madeMs: NOW_MS + HOUR_MS }],
    ["receipt-of-another-peer", receipt({ peer: at(5) })],
    ["receipt-of-another-shard", receipt({ index: 2 })],
    ["receipt-of-another-shard", receipt({ segment: 22 })],
    ["receipt-of-another-shard", receipt({ segment: 53 })],
    ["receipt-of-another-shard", receipt({ segment: -11 })],
    ["receipt-from-the-future", receipt({ timeMs: NOW_MS + HOUR_MS })],
    ["holder-is-no-candidate", { to: peerNamed("stranger"), rank: 4 }],
    ["rank-is-wrong", { rank: 3 }],
    ["slot-is-not-empty", { cause: { kind: "empty" } }],
    ["cause-is-about-another", { cause: { kind: "convicted", target: at(2) } }],
    ["holds", { cause: { kind: "convicted", target: from } }],
    ["holder-is-still-listed", { cause: { kind: "gone-from-roster" } }],
    ["holds", { from: peerNamed("removed"), cause: { kind: "gone-from-roster" } }],
    ["holds", { cause: { kind: "draining", holder: from, saidMs: NOW_MS - HOUR_MS } }],
    ["cause-is-about-another", { cause: { kind: "draining", holder: at(0), saidMs: NOW_MS } }],
    ["cause-is-stale", { cause: { kind: "overfull", holder: from, saidMs: NOW_MS - 9 * DAY_MS } }],
    ["from-the-future", { cause: { kind: "overfull", holder: from, saidMs: NOW_MS + HOUR_MS } }],
    ["holds", { cause: { kind: "owner-says", ownerVersion: 3, holder: from } }],
    ["cause-is-about-another", { cause: { kind: "owner-says", ownerVersion: 2, holder: from } }],
  ])("%s", (expected, changes) => {
    expect(refusal(changes)).toBe(expected);
  });

  test("the new holder is among the first candidates: 2n of them, and more in a small swarm", () => {
    expect(refusal({ to: at(8) })).toBe("holds");
    expect(refusal({ to: at(8) }, { rules: { ...REPAIR_RULES, ranksMin: 8 } })).toBe("rank-is-too-high");
  });

  test("an empty slot is filled because it is empty, for no other reason", () => {
    const empty = { from: undefined, cause: { kind: "empty" } } as const;
    expect(refusal(empty)).toBe("holds");
    expect(refusal({ from: undefined })).toBe("cause-is-about-another");
  });

  test("the owner's node gets nothing, and is no candidate by which ranks are counted", () => {
    expect(refusal({}, { ownerPeer: at(4) })).toBe("holder-is-the-owner");
    expect(refusal({ rank: 3 }, { ownerPeer: at(0) })).toBe("holds");
  });
});

describe("witnesses of an absence", () => {
  const [first, second, third] = witnesses as [SilenceWitness, SilenceWitness, SilenceWitness];

  test("one that is named three times is one", () => {
    expect(refusal(seenBy(first, first, first))).toBe("witnesses-too-few");
  });

  test("two members that collude are too few in a swarm of nine", () => {
    expect(refusal(seenBy(first, second))).toBe("witnesses-too-few");
  });

  test("the holder itself, strangers and the lost are none", () => {
    expect(refusal(seenBy(first, second, witness(from)))).toBe("witnesses-too-few");
    expect(refusal(seenBy(first, second, witness(peerNamed("stranger"))))).toBe("witnesses-too-few");
    expect(refusal({}, { lost: new Set([third.observer]) })).toBe("witnesses-too-few");
  });

  test("three at the target's own site and one other are not two sites", () => {
    const site = must(
      members.find(({ peer }) => peer === from),
      "holder",
    ).site;
    const own = members
      .filter((one) => one.site === site && one.peer !== from)
      .map(({ peer }) => witness(peer));
    const other = must(
      witnesses.find(({ observer }) => !own.some((one) => one.observer === observer)),
      "witness",
    );
    expect(refusal(seenBy(...own, other))).toBe("witnesses-too-few");
    const others = new Set(members.map((one) => one.site).filter((one) => one !== site));
    const [gone] = others;
    const away = new Set(members.filter((one) => one.site === gone).map(({ peer }) => peer));
    expect(refusal(seenBy(...own, other), { away })).toBe("holds");
  });

  test("what they say has to be recent, long enough, about the holder, and bounded", () => {
    expect(refusal(seenBy(first, second, { ...third, atMs: NOW_MS - 9 * DAY_MS, silentSinceMs: 0 }))).toBe(
      "cause-is-stale",
    );
    expect(refusal(seenBy(first, second, { ...third, silentSinceMs: third.atMs - MINUTE_MS }))).toBe(
      "silence-too-short",
    );
    expect(refusal(seenBy(first, second, { ...third, target: at(2) }))).toBe("cause-is-about-another");
    expect(refusal(seenBy(...Array.from({ length: 17 }, () => first)))).toBe("witnesses-too-many");
  });

  test("silences one after the other, which nobody could refute, are none", () => {
    const earlier = { ...third, silentSinceMs: NOW_MS - 30 * HOUR_MS, atMs: NOW_MS - 11 * HOUR_MS };
    expect(refusal(seenBy(first, second, earlier))).toBe("silence-too-short");
    const overlapping = { ...earlier, atMs: first.silentSinceMs + 30 * MINUTE_MS };
    expect(refusal(seenBy(first, second, overlapping))).toBe("holds");
  });

  /** Everybody in `peers` was heard without a gap in that time, whoever else was not. */
  const hearing = (peers: readonly PeerId[], fromMs: number, toMs: number): Partial<RepairContext> => ({
    hearings: {
      self: at(0),
      runsOf: (peer) => (peers.includes(peer) && peer !== at(0) ? [{ fromMs, toMs }] : []),
    },
  });
  const everybody = members.map(({ peer }) => peer);

  test("who has heard the holder meanwhile, and most others, believes none of them", () => {
    const heardAt = (ms: number) => refusal({}, hearing(everybody, ms - MINUTE_MS, ms));
    expect(heardAt(NOW_MS - 5 * HOUR_MS)).toBe("holder-was-heard");
    // Before the silence, at its very beginning and end (clocks differ), and after it came back.
    expect(heardAt(NOW_MS - 11 * HOUR_MS)).toBe("holds");
    expect(heardAt(NOW_MS - 10 * HOUR_MS + 20 * MINUTE_MS)).toBe("holds");
    expect(heardAt(NOW_MS - HOUR_MS - 20 * MINUTE_MS)).toBe("holds");
    expect(heardAt(NOW_MS - MINUTE_MS)).toBe("holds");
  });

  test("who was cut off together with the holder believes those on the other side, and no others", () => {
    const observers = witnesses.map(({ observer }) => observer);
    const [one] = observers;
    const side = everybody.filter((peer) => !observers.includes(peer)).slice(0, 3);
    const cutOff = (peers: readonly PeerId[]) =>
      refusal({}, hearing([from, ...peers], NOW_MS - 9 * HOUR_MS, NOW_MS - 2 * HOUR_MS));
    expect(cutOff(side)).toBe("holds");
    expect(cutOff([must(one, "witness")])).toBe("holder-was-heard");
    // Nine members, this node among them: with five in sight it is not the one that was away.
    expect(cutOff(everybody.filter((peer) => !observers.includes(peer)))).toBe("holder-was-heard");
  });

  test("single beats that came late, each at another time, are no sight of the others", () => {
    const late = everybody.map((peer, place) => [peer, NOW_MS - (2 + place / 2) * HOUR_MS] as const);
    const heardMs = new Map(late);
    const runsOf = (peer: PeerId) => {
      const ms = must(heardMs.get(peer), "member");
      const side = { fromMs: NOW_MS - 9 * HOUR_MS, toMs: NOW_MS - 2 * HOUR_MS };
      return peer === from ? [side] : [{ fromMs: ms, toMs: ms }];
    };
    expect(refusal({}, { hearings: { self: at(0), runsOf } })).toBe("holds");
  });

  test("who was cut off takes its own side for as silent as itself", () => {
    const siteOf = (peer: PeerId) => members.find((one) => one.peer === peer)?.site;
    const site = siteOf(from);
    const others = [...new Set(members.map((one) => one.site))].filter((one) => one !== site);
    const ofSite = (name: string | undefined) => members.filter((one) => one.site === name);
    const [mine, theirs] = others;
    const self = must(ofSite(mine)[0], "member").peer;
    const seen = [
      ...ofSite(site)
        .filter(({ peer }) => peer !== from)
        .slice(0, 1),
      ...ofSite(theirs).slice(0, 2),
    ].map(({ peer }) => witness(peer));
    const mineHeard = ofSite(mine).map(({ peer }) => peer);
    const span = { fromMs: NOW_MS - 9 * HOUR_MS, toMs: NOW_MS - 2 * HOUR_MS };
    const runsOf = (peers: readonly PeerId[]) => (peer: PeerId) => (peers.includes(peer) ? [span] : []);
    expect(refusal(seenBy(...seen), { hearings: { self, runsOf: runsOf(mineHeard) } })).toBe("holds");
    expect(refusal(seenBy(...seen), { hearings: { self, runsOf: runsOf(everybody) } })).not.toBe("holds");
  });
});

describe("a crowded row", () => {
  const siteOf = (peer: PeerId) =>
    must(
      members.find((one) => one.peer === peer),
      "member",
    ).site;
  const sameSite = members
    .filter(({ peer, site }) => site === siteOf(from) && peer !== from)
    .map(({ peer }) => peer);

  test("moves its highest slots, when this node sees the crowd", () => {
    const crowded = [must(sameSite[0], "peer"), must(sameSite[1], "peer"), from];
    const move = { ...record(), slot: 2, cause: { kind: "site-rule" }, ...receipt({ index: 2 }) } as const;
    const generation = {
      ...context.generation,
      slots: [...crowded, at(3)].map((peer) => ({ peer, ownerVersion: 3, repairs: 0 })),
    };
    const around = { ...context, generation, slotsNow: [...crowded, at(3)] };
    expect(checkRepair(move, around)).toEqual({ kind: "holds" });
    expect(checkRepair(move, { ...around, slotsNow: slots })).toEqual({ kind: "waits", for: "repairs" });
    const lowest = { ...record(), slot: 0, from: crowded[0], cause: move.cause, ...receipt({ index: 0 }) };
    expect(checkRepair(lowest, around)).toEqual({ kind: "waits", for: "repairs" });
  });

  test("moves the second slot of one peer", () => {
    const cause = { kind: "same-peer" } as const;
    expect(refusal({ cause })).toBe("waits for repairs");
    expect(refusal({ cause }, { slotsNow: [from, from, at(2), at(3)] })).toBe("holds");
  });
});

describe("two repairs of one slot", () => {
  const own = { peer: from, ownerVersion: 3, repairs: 0 };
  const current = (...records: RepairRecord[]) => currentRepair(recordsOf(ledgerOf(records)), own);

  test("at once: the lower rank holds, and the map says so", () => {
    const hash = (byte: number) => new Uint8Array(32).fill(byte);
    const low = record({ to: at(4), hash: hash(2) });
    const high = record({ to: at(5), hash: hash(1) });
    const holds = must(current(high, low), "repair");
    expect(holds).toBe(low);
    const { map } = openClass(EMPTY_MAP, CLASS, PARTITIONS);
    const placed = openGeneration(map, AT, slots);
    const change = { ...slotChangeOf(holds), ownerVersion: 1 };
    expect(slotsOf(withRepairs(placed, [change]), 0, 21)[1]).toBe(at(4));
  });

  test("the later of a chain holds, also when its beginning lost to another", () => {
    const [first, rival] = [record({ to: at(5) }), record({ to: at(4) })];
    const second = record({ repairs: 2, from: at(5), to: at(6) });
    expect(current(second)).toBeUndefined();
    expect(current(first, rival)).toBe(rival);
    expect(current(first, rival, second)).toBe(second);
  });
});
