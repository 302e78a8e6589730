import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { DAY_MS } from "../../src/base/units.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { LockTable, lockEntry, lockedHeadEntry } from "../../src/locks/index.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { lockedBody } from "../../src/wire/lock.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { headOf, lockOf } from "../support/locks.ts";
import { KEYS, LIFE, NOW_MS, node, SWARM } from "../support/repairs.ts";
import { MemoryStore } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

it("a lock, what asks for it and says that it is in force, and what a holder keeps are the pinned bytes", async () => {
  const head = headOf(7);
  const lock = lockOf({ numbers: [5, 21, 165], head });
  const bits = Uint8Array.of(3, 0);
  const locks = [{ statement: sha256(lock), bits, forMs: 30 * DAY_MS }];
  const body = lockedBody.encode({ v: 1, owner: KEYS.owner, timeMs: NOW_MS, locks });
  const said = { type: "locked", swarm: SWARM, incarnation: NO_INCARNATION, epoch: NOW_MS, body } as const;
  const store = new MemoryStore();
  const table = new LockTable(store, Uint8Array.of(1));
  await store.write(
    table.extendOps(
      KEYS.owner,
      LIFE,
      new Map([
        [5, 30 * DAY_MS],
        [5 + 3 * 256, 1],
        [65_536 + 5, DAY_MS],
      ]),
    ),
    { sync: true },
  );
  const encodings = {
    request: dataRequest.encode({ t: "lock", v: 1, head: encodeSigned(head), locks: [lock] }),
    answer: dataAnswer.encode({
      t: "locked",
      v: 1,
      locked: encodeSigned(signStatement(said, node(1).key)),
    }),
    kept: lockEntry.encode({ v: 1, lock, bits, untilMs: 2_592_000_001 }),
    head: lockedHeadEntry.encode({ v: 1, untilMs: 2_592_000_001, forMs: 2_592_000_000 }),
  };
  const hex = {
    ...Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)])),
    pages: Object.fromEntries([...store.map].map(([key, value]) => [key, toHex(value)])),
  };
  expect(hex).toEqual(goldenJson("v1/wire/lock.json", hex));
});
