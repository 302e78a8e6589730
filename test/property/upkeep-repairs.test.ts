import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { incarnationOf, ownerIdOf, type PeerId } from "../../src/base/ids.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import type { Slot } from "../../src/placement/index.ts";
import {
  currentRepair,
  EMPTY_LEDGER,
  ledgerOf,
  mergeLedgers,
  type RepairLedger,
  type RepairRecord,
  recordsOf,
  withoutSuperseded,
} from "../../src/upkeep/index.ts";
import { peerNamed } from "../unit/placement/nodes.ts";

const OWNER = ownerIdOf(sha256(utf8("owner")));
const LIFE = incarnationOf(new Uint8Array(16));
const PEERS = Array.from({ length: 5 }, (_, i) => peerNamed(`peer ${i}`));
const at = { classId: 0, partition: 3, fromSegment: 3 };

function peer(position: number): PeerId {
  return PEERS[position] ?? peerNamed("nobody");
}

const record = fc
  .record({
    slot: fc.constantFrom(0, 0, 0, 1),
    ownerVersion: fc.constantFrom(1, 1, 1, 2),
    repairs: fc.constantFrom(1, 1, 2, 2, 3, 4),
    from: fc.constantFrom(0, 0, 1, 2, 3, 4),
    to: fc.nat({ max: 4 }),
    rank: fc.nat({ max: 2 }),
    hash: fc.nat({ max: 255 }),
  })
  .filter(({ from, to }) => from !== to)
  .map(({ slot, ownerVersion, repairs, from, to, rank, hash }): RepairRecord => {
    // A hash stands for the whole record.
    const text = `${slot} ${ownerVersion} ${repairs} ${from} ${to} ${rank} ${hash}`;
    return {
      owner: OWNER,
      incarnation: LIFE,
      at,
      slot,
      ownerVersion,
      repairs,
      from: peer(from),
      to: peer(to),
      rank,
      rosterEpoch: 1,
      cause: { kind: "gone-from-roster" },
      receipt: { peer: peer(to), owner: OWNER, incarnation: LIFE, segment: 3, index: slot, timeMs: 0 },
      madeMs: 0,
      hash: sha256(utf8(text)),
    };
  });
const records = fc.array(record, { maxLength: 30 });

/** A ledger as a value that `toEqual` compares whatever the order of its maps. */
function content(ledger: RepairLedger): string[] {
  return [...recordsOf(ledger)].map(({ hash }) => Buffer.from(hash).toString("hex")).sort();
}

function holderOf(ledger: RepairLedger, slot: number): Slot {
  const own = { peer: peer(0), ownerVersion: 1, repairs: 0 };
  const ofSlot = [...recordsOf(ledger)].filter((one) => one.slot === slot);
  return currentRepair(ofSlot, own)?.to ?? own.peer;
}

describe("repair records", () => {
  test("merging is commutative, associative and idempotent", () => {
    fc.assert(
      fc.property(records, records, records, (first, second, third) => {
        const [a, b, c] = [ledgerOf(first), ledgerOf(second), ledgerOf(third)];
        expect(content(mergeLedgers(a, b))).toEqual(content(mergeLedgers(b, a)));
        expect(content(mergeLedgers(mergeLedgers(a, b), c))).toEqual(
          content(mergeLedgers(a, mergeLedgers(b, c))),
        );
        expect(content(mergeLedgers(a, a))).toEqual(content(a));
        expect(content(mergeLedgers(a, EMPTY_LEDGER))).toEqual(content(a));
      }),
    );
  });

  test("whoever hears the same records, one by one, in any order and more than once, names the same holders", () => {
    const orders = records.chain((drawn) =>
      fc.tuple(
        fc.constant(drawn),
        fc.shuffledSubarray([...drawn, ...drawn], { minLength: 2 * drawn.length }),
      ),
    );
    fc.assert(
      fc.property(orders, ([drawn, shuffled]) => {
        const whole = ledgerOf(drawn);
        const grown = shuffled.reduce((ledger, one) => mergeLedgers(ledger, ledgerOf([one])), EMPTY_LEDGER);
        expect(content(grown)).toEqual(content(whole));
        for (const slot of [0, 1]) expect(holderOf(grown, slot)).toBe(holderOf(whole, slot));
      }),
    );
  });

  test("the holder is the end of the longest unbroken chain, by brute force over all chains", () => {
    fc.assert(
      fc.property(records, (drawn) => {
        const kept = [...recordsOf(ledgerOf(drawn))].filter(
          (one) => one.slot === 0 && one.ownerVersion === 1,
        );
        const chains = (end: PeerId, repairs: number, last: RepairRecord | undefined): RepairRecord[] => {
          const next = kept.filter((one) => one.repairs === repairs + 1 && one.from === end);
          return [
            ...(last === undefined ? [] : [last]),
            ...next.flatMap((one) => chains(one.to, repairs + 1, one)),
          ];
        };
        const all = chains(peer(0), 0, undefined).sort(
          (a, b) => b.repairs - a.repairs || a.rank - b.rank || Buffer.compare(a.hash, b.hash),
        );
        expect(holderOf(ledgerOf(drawn), 0)).toBe(all[0]?.to ?? peer(0));
      }),
    );
  });

  test("a record that skips a version, or continues somebody who never had the slot, changes nothing", () => {
    fc.assert(
      fc.property(records, record, fc.integer({ min: 6, max: 1000 }), (drawn, extra, repairs) => {
        const inflated = { ...extra, ownerVersion: 1, repairs };
        const stranger = { ...extra, ownerVersion: 1, from: peerNamed("never held it") };
        const before = ledgerOf(drawn);
        const after = mergeLedgers(before, ledgerOf([inflated, stranger]));
        for (const slot of [0, 1]) expect(holderOf(after, slot)).toBe(holderOf(before, slot));
      }),
    );
  });

  test("the owner's next version supersedes, and dropping what it supersedes commutes with merging", () => {
    fc.assert(
      fc.property(records, records, (first, second) => {
        const versionOf = () => 2;
        const [a, b] = [ledgerOf(first), ledgerOf(second)];
        const after = withoutSuperseded(mergeLedgers(a, b), versionOf);
        const each = mergeLedgers(withoutSuperseded(a, versionOf), withoutSuperseded(b, versionOf));
        expect(content(each)).toEqual(content(after));
        expect([...recordsOf(after)].every(({ ownerVersion }) => ownerVersion === 2)).toBe(true);
      }),
    );
  });

  test("however many records say one step, one is kept", () => {
    fc.assert(
      fc.property(
        record,
        fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { minLength: 1 }),
        (one, hashes) => {
          const ledger = ledgerOf(hashes.map((hash) => ({ ...one, hash })));
          const least = [...hashes].sort(Buffer.compare)[0];
          expect([...recordsOf(ledger)].map(({ hash }) => hash)).toEqual([least]);
        },
      ),
    );
  });
});
