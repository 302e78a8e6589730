import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withDenials } from "../../../src/audit/book.ts";
import { isDue, nextAfter, suspicionAfter } from "../../../src/audit/index.ts";
import { NEW_HOLDER } from "../../../src/audit/records.ts";
import { peerIdOf } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { AuditStory } from "../../support/audits.ts";

const NOW_MS = 1_800_000_000_000;
const peers = [1, 2, 3, 4, 5].map((byte) => peerIdOf(new Uint8Array(32).fill(byte))).sort();

describe("whose turn it is", () => {
  it("comes to each of those who are due before it comes to anybody again, wherever it begins", () => {
    fc.assert(
      fc.property(
        fc.subarray(peers, { minLength: 1 }),
        fc.option(fc.constantFrom(...peers)),
        (due, begin) => {
          let cursor = begin ?? undefined;
          const seen = due.map(() => {
            cursor = nextAfter(due, cursor);
            return cursor;
          });
          expect([...seen].sort()).toEqual(due);
        },
      ),
    );
  });

  it("comes after a day, after an hour to whoever has not answered, and at once when the clock was set back", () => {
    const at = (lastAskedMs: number) => ({ ...NEW_HOLDER, lastAskedMs });
    const { nonce, challenges } = new AuditStory().request([1]);
    const pending = { nonce, challenges };
    expect(isDue(NEW_HOLDER, NOW_MS)).toBe(true);
    expect(isDue(at(NOW_MS - DAY_MS + 1), NOW_MS)).toBe(false);
    expect(isDue(at(NOW_MS - DAY_MS), NOW_MS)).toBe(true);
    expect(isDue({ ...at(NOW_MS - HOUR_MS + 1), pending }, NOW_MS)).toBe(false);
    expect(isDue({ ...at(NOW_MS - HOUR_MS), pending }, NOW_MS)).toBe(true);
    expect(isDue(at(NOW_MS + 1), NOW_MS)).toBe(true);
    // As often as the settings say.
    expect(isDue(at(NOW_MS - 59_999), NOW_MS, 60_000)).toBe(false);
    expect(isDue(at(NOW_MS - 60_000), NOW_MS, 60_000)).toBe(true);
    expect(isDue({ ...at(NOW_MS - 60_000), pending }, NOW_MS, 60_000)).toBe(true);
  });
});

describe("suspicion", () => {
  const nothing = { wrong: 0, garbled: 0, deniedMs: [] as readonly number[] };
  const judged = (found: Partial<typeof nothing>) =>
    suspicionAfter(undefined, { ...nothing, ...found }, NOW_MS, undefined);

  it("follows from one wrong answer, and from three lost shards within a day", () => {
    expect(judged({})).toBeUndefined();
    expect(judged({ wrong: 1 })).toMatchObject({ sinceMs: NOW_MS });
    expect(judged({ garbled: 1 })).toBeDefined();
    expect(judged({ deniedMs: [NOW_MS, NOW_MS] })).toBeUndefined();
    expect(judged({ deniedMs: [NOW_MS, NOW_MS, NOW_MS] })).toBeDefined();
  });

  it("keeps its first reason", () => {
    const before = { sinceMs: 1, reason: "before" };
    expect(suspicionAfter(before, { ...nothing, wrong: 1 }, NOW_MS, undefined)).toBe(before);
  });

  it("forgets lost shards after a day, and keeps no more than a few", () => {
    const record = { ...NEW_HOLDER, deniedMs: [NOW_MS - DAY_MS, NOW_MS - DAY_MS + 1, NOW_MS + 5] };
    expect(withDenials(record, 1, NOW_MS)).toEqual([NOW_MS - DAY_MS + 1, NOW_MS]);
    expect(withDenials(NEW_HOLDER, 100, NOW_MS)).toHaveLength(8);
  });
});
