import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { DAY_MS } from "../../src/base/units.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { ownAcknowledgement, ownLock } from "../../src/locks/index.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { headOf } from "../support/locks.ts";
import { LIFE, NOW_MS } from "../support/repairs.ts";
import { goldenJson } from "./golden-file.ts";

it("what a home writes down of its own locked snapshots are the pinned bytes", () => {
  const untilMs = NOW_MS + 30 * DAY_MS;
  const row = { life: LIFE, class: 1, partitions: 16, first: 5, bits: Uint8Array.of(3) };
  const encodings = {
    lock: ownLock.encode({
      ...{ v: 1, snapshot: sha256(Uint8Array.of(1)), incarnation: LIFE, head: encodeSigned(headOf(7)) },
      ...{ forMs: 30 * DAY_MS, askedMs: NOW_MS, sinceMs: NOW_MS },
      standing: { holders: 9, done: 7, unplaced: false, untilMs },
    }),
    acknowledged: ownAcknowledgement.encode({ v: 1, untilMs, rows: [row] }),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/home/own-lock.json", hex));
});
