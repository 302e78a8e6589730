import { beforeEach, describe, expect, it } from "vitest";
import { concatBytes, u32be } from "../../../src/base/bytes.ts";
import { idBytes, incarnationOf, ownerIdOf, publicKeyOfPeer, swarmIdOf } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { checkSigned, signedHash, signStatement } from "../../../src/crypto/signed.ts";
import { LOCKS_PREFIX, lockedHeadEntry } from "../../../src/locks/index.ts";
import type { MetaOp } from "../../../src/ports/index.ts";
import { dataAnswer, type LockRequest } from "../../../src/wire/data.ts";
import { LOCK_MAX_MS, lockBody } from "../../../src/wire/lock.ts";
import { decodeSigned, encodeSigned } from "../../../src/wire/signed.ts";
import { headOf, LockWorld, lockOf, PARTITIONS } from "../../support/locks.ts";
import { KEYS, LIFE, node, SWARM } from "../../support/repairs.ts";
import { signer } from "../membership/world.ts";

const HEAD = headOf(1);
const NEW_LIFE = incarnationOf(new Uint8Array(16).fill(6));
let world: LockWorld;

beforeEach(() => {
  world = new LockWorld();
  world.hold(0, 16, 32, 7);
});

describe("a lock", () => {
  it("is acknowledged for what is here, and for that alone", async () => {
    const answer = await world.ask(HEAD, [lockOf({ numbers: [0, 16, 48], head: HEAD })]);
    expect(answer).toEqual([{ numbers: [0, 16], forMs: 30 * DAY_MS }]);
    expect([0, 16, 32, 48, 7].map((number) => world.days(number))).toEqual([30, 30, 0, 0, 0]);
  });

  it("is signed by the holder, on disk before that, and survives a restart", async () => {
    const request: LockRequest = {
      t: "lock",
      v: 1,
      head: encodeSigned(HEAD),
      locks: [lockOf({ numbers: [7], head: HEAD })],
    };
    const answer = dataAnswer.decode(
      (await world.locks.answer(node(0).peer, KEYS.owner, request, true)).head,
    );
    if (answer.t !== "locked") throw new Error(answer.t);
    checkSigned(decodeSigned(answer.locked), {
      type: "locked",
      swarm: SWARM,
      signer: publicKeyOfPeer(node(1).peer),
    });
    expect(world.store.syncedWrites).toBe(1);
    world.restart();
    expect(world.days(7)).toBe(30);
  });

  it("is not acknowledged where it could not be written", async () => {
    world.store.failNext = true;
    expect(await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })])).toMatch(/^DISK_FULL/);
    expect(world.days(7)).toBe(0);
  });

  it("lasts for the holder's own running time, whatever its clock or the owner's says", async () => {
    const tenYears = 3650 * DAY_MS;
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    world.wallOffsetMs = tenYears;
    expect(world.days(7)).toBe(30);
    await world.ask(headOf(2), [
      lockOf({ numbers: [16], head: headOf(2), timeMs: 1_800_000_000_000 + tenYears }),
    ]);
    expect(world.days(16)).toBe(30);
    await world.clock.advance(29 * DAY_MS);
    await world.locks.tidy();
    expect([world.days(7), world.days(16)]).toEqual([1, 1]);
    // Off for a year: nothing of it is counted.
    world.restart();
    expect(world.days(7)).toBe(1);
    await world.clock.advance(DAY_MS);
    expect(world.days(7)).toBe(0);
  });

  it("is never made shorter", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    const shorter = lockOf({ numbers: [7], head: headOf(2), forMs: HOUR_MS });
    expect(await world.ask(headOf(2), [shorter])).toEqual([{ numbers: [7], forMs: 30 * DAY_MS }]);
    expect(world.days(7)).toBe(30);
  });

  it("is made longer by whoever needs the segment later, up to 400 days", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    await world.ask(headOf(2), [lockOf({ numbers: [7], head: headOf(2), forMs: LOCK_MAX_MS })]);
    expect(world.days(7)).toBe(400);
    expect(() => lockOf({ numbers: [7], head: HEAD, forMs: LOCK_MAX_MS + 1 })).toThrow();
  });

  it("of 401 days is refused whole, with what came along", async () => {
    const good = decodeSigned(lockOf({ numbers: [7], head: HEAD, forMs: LOCK_MAX_MS }));
    // One number more in the CBOR of `forMs`: the codec that writes would not.
    const text = Buffer.from(good.body).toString("hex");
    const forMs = LOCK_MAX_MS.toString(16).padStart(16, "0");
    expect(text).toContain(forMs);
    const body = Buffer.from(text.replace(forMs, (401 * DAY_MS).toString(16).padStart(16, "0")), "hex");
    const long = encodeSigned(signStatement({ ...good, body }, KEYS.signer));
    expect(await world.ask(HEAD, [lockOf({ numbers: [0], head: HEAD }), long])).toMatch(
      /^FORMAT_INVALID.*forMs/,
    );
    expect([world.days(7), world.days(0)]).toEqual([0, 0]);
  });

  it("that is shown again changes nothing, neither while it lasts nor afterwards", async () => {
    const lock = lockOf({ numbers: [0, 16], head: HEAD });
    await world.ask(HEAD, [lock]);
    await world.clock.advance(10 * DAY_MS);
    expect(await world.ask(HEAD, [lock])).toEqual([{ numbers: [0, 16], forMs: 20 * DAY_MS }]);
    await world.clock.advance(21 * DAY_MS);
    await world.locks.tidy();
    expect(await world.ask(HEAD, [lock])).toEqual([{ numbers: [], forMs: 0 }]);
    expect(world.days(0)).toBe(0);
  });

  it("begins whole for a shard that came later", async () => {
    const lock = lockOf({ numbers: [0, 48], head: HEAD });
    await world.ask(HEAD, [lock]);
    await world.clock.advance(10 * DAY_MS);
    world.hold(48);
    await world.ask(HEAD, [lock]);
    expect([world.days(0), world.days(48)]).toEqual([20, 30]);
  });
});

describe("who may ask", () => {
  it("nobody with a signature of somebody else, of another swarm, or for another head", async () => {
    const thief = signer("a thief without the owner's key");
    expect(await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD, by: thief })])).toMatch(
      /^SIGNATURE_INVALID/,
    );
    const signed = decodeSigned(lockOf({ numbers: [7], head: HEAD }));
    const elsewhere = signStatement({ ...signed, swarm: swarmIdOf(new Uint8Array(32).fill(9)) }, KEYS.signer);
    expect(await world.ask(HEAD, [encodeSigned(elsewhere)])).toMatch(/^SIGNATURE_INVALID/);
    const altered = {
      ...signed,
      body: lockBody.encode({ ...lockBody.decode(signed.body), forMs: LOCK_MAX_MS }),
    };
    expect(await world.ask(HEAD, [encodeSigned(altered)])).toMatch(/^SIGNATURE_INVALID/);
    expect(await world.ask(headOf(2), [lockOf({ numbers: [7], head: HEAD })])).toMatch(/^FORMAT_INVALID/);
    expect(world.days(7)).toBe(0);
    expect(world.store.map.size).toBe(0);
  });

  it("not a fenced life, and what it had locked before stays locked", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    world.certified = NEW_LIFE;
    expect(await world.ask(headOf(2), [lockOf({ numbers: [0], head: headOf(2) })])).toMatch(/^FENCED/);
    expect([world.days(7), world.days(0)]).toEqual([30, 0]);
    // The life that fences it locks what was saved before, too.
    const head = headOf(3, KEYS.signer, NEW_LIFE);
    const lock = lockOf({ numbers: [0], head, life: NEW_LIFE });
    expect(await world.ask(head, [lock])).toEqual([{ numbers: [0], forMs: 30 * DAY_MS }]);
  });

  it("holders of the row for a dead owner, of a fenced life too; other members not of a fenced life", async () => {
    const asOwner = ownerIdOf(signer("paper owner 2").publicKey);
    const lock = lockOf({ numbers: [7], head: HEAD });
    world.certified = NEW_LIFE;
    expect(await world.ask(HEAD, [lock], { from: node(8).peer, asOwner })).toMatch(/^FENCED/);
    const answer = await world.ask(HEAD, [lock], { from: node(2).peer, asOwner });
    expect(answer).toEqual([{ numbers: [7], forMs: 30 * DAY_MS }]);
  });

  it("nobody about segments that are not here: nothing is kept of it", async () => {
    expect(await world.ask(HEAD, [lockOf({ numbers: [3], head: HEAD })])).toEqual([
      { numbers: [], forMs: 0 },
    ]);
    expect([world.store.map.size, world.recordStore.map.size]).toEqual([0, 0]);
  });
});

describe("what a thief of the owner's key can do", () => {
  it("not have heads of locked snapshots put out by others, be they 10,000", {
    timeout: 120_000,
  }, async () => {
    await world.records.keep(KEYS.owner, [encodeSigned(HEAD)]);
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    for (let epoch = 2; epoch < 400; epoch++) {
      await world.records.keep(KEYS.owner, [encodeSigned(headOf(epoch))]);
      if (epoch % 4 === 0) await world.clock.advance(DAY_MS / 4);
    }
    const heads = await world.records.heads(KEYS.owner);
    expect(heads[0]?.epoch).toBe(1);
    expect(heads.length).toBeLessThan(250);
    expect((await world.records.headsOf(KEYS.owner, LIFE)).some(({ epoch }) => epoch === 1)).toBe(true);
    await world.clock.advance(31 * DAY_MS);
    for (let epoch = 400; epoch < 440; epoch++)
      await world.records.keep(KEYS.owner, [encodeSigned(headOf(epoch))]);
    await world.clock.advance(100 * DAY_MS);
    for (let epoch = 440; epoch < 480; epoch++)
      await world.records.keep(KEYS.owner, [encodeSigned(headOf(epoch))]);
    for (let day = 0; day < 91; day++) {
      await world.clock.advance(DAY_MS);
      await world.records.keep(KEYS.owner, [encodeSigned(headOf(480 + day))]);
    }
    expect((await world.records.heads(KEYS.owner))[0]?.epoch).not.toBe(1);
  });

  it("not make all later heads look old by a head that comes with a lock", async () => {
    await world.records.keep(KEYS.owner, [encodeSigned(HEAD)]);
    const far = headOf(2 ** 47);
    expect(await world.ask(far, [lockOf({ numbers: [7], head: far })])).toMatch(/^RECORD_STALE/);
    expect(world.days(7)).toBe(0);
  });

  it("not put out what is locked by heads without end: beyond 4,096 a new one finds no room", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    const value = lockedHeadEntry.encode({ v: 1, untilMs: 30 * DAY_MS, forMs: 30 * DAY_MS });
    const junk = Array.from({ length: 4095 }, (_, at): MetaOp => {
      const key = concatBytes(LOCKS_PREFIX.head, idBytes(KEYS.owner), sha256(u32be(at)));
      return { type: "put", key, value };
    });
    await world.store.write(junk, { sync: true });
    const late = headOf(2);
    expect(await world.ask(late, [lockOf({ numbers: [16], head: late })])).toMatch(/^NOT_ALLOWED/);
    expect([world.days(7), world.days(16)]).toEqual([30, 0]);
    expect(world.locks.isHeadLocked(KEYS.owner, signedHash(HEAD))).toBe(true);
    // The locks of heads that are known go on.
    expect(await world.ask(HEAD, [lockOf({ numbers: [16], head: HEAD })])).toEqual([
      { numbers: [16], forMs: 30 * DAY_MS },
    ]);
  });

  it("not have anything dropped by a map that names others", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    world.slots = [5, 6, 7, 8].map((index) => node(index).peer);
    expect(world.days(7)).toBe(30);
    world.slots = [];
    expect(await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })])).toEqual([
      { numbers: [7], forMs: 30 * DAY_MS },
    ]);
  });

  it("not end a lock early by one for the same head that is short", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD, forMs: 60_000 })]);
    await world.clock.advance(HOUR_MS);
    const answer = await world.ask(HEAD, [lockOf({ numbers: [7], head: HEAD })]);
    expect(answer).toEqual([{ numbers: [7], forMs: 30 * DAY_MS }]);
  });
});

describe("what is kept for those who take shards over", () => {
  const row = { owner: KEYS.owner, life: LIFE, classId: 0, partition: 0 };

  it("the statements in force with their head, each once", async () => {
    const lock = lockOf({ numbers: [0, 16], head: HEAD });
    await world.ask(HEAD, [lock]);
    expect(await world.locks.ofRow(row)).toEqual([{ head: encodeSigned(HEAD), locks: [lock] }]);
    expect(await world.locks.ofRow({ ...row, partition: 7 })).toEqual([]);
  });

  it("not those that a later one says all of", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [0, 16], head: HEAD })]);
    await world.clock.advance(DAY_MS);
    const later = headOf(2);
    const all = lockOf({ numbers: [0, 16, 32], head: later });
    await world.ask(later, [all]);
    const part = headOf(3);
    const lock = lockOf({ numbers: [0], head: part });
    await world.clock.advance(DAY_MS);
    await world.ask(part, [lock]);
    const given = await world.locks.ofRow(row);
    expect(given.flatMap(({ locks }) => locks).length).toBe(2);
    expect(given.map(({ head }) => decodeSigned(head).epoch).sort()).toEqual([2, 3]);
    // The head of the first stays all the same, for its own time.
    expect(world.locks.isHeadLocked(KEYS.owner, signedHash(HEAD))).toBe(true);
  });

  it("and what is over is forgotten", async () => {
    await world.ask(HEAD, [lockOf({ numbers: [0, 16], head: HEAD })]);
    await world.locks.tidy();
    expect(world.locks.status).toEqual({ segments: 2, statements: 1, heads: 1 });
    await world.clock.advance(31 * DAY_MS);
    await world.locks.tidy();
    expect(await world.locks.ofRow(row)).toEqual([]);
    await world.clock.advance(400 * DAY_MS);
    await world.locks.tidy();
    // The running time alone.
    expect(world.store.map.size).toBe(1);
  });
});

it("a million segments take 4 MB, and a lookup no scan", { timeout: 120_000 }, async () => {
  const { LockTable } = await import("../../../src/locks/index.ts");
  const table = new LockTable(world.store, Uint8Array.of(1));
  for (let partition = 0; partition < 256; partition++) {
    const until = new Map<number, number>();
    for (let number = partition; number < 1_000_000; number += 256) until.set(number, 30 * DAY_MS);
    await world.store.write(table.extendOps(KEYS.owner, LIFE, until), { sync: false });
  }
  const bytes = [...world.store.map.values()].reduce((sum, value) => sum + value.length, 0);
  expect(world.store.map.size).toBe(256 * Math.ceil(1_000_000 / 65_536));
  expect(bytes).toBeLessThan(4.1e6);
  expect(table.untilMs({ owner: KEYS.owner, incarnation: LIFE, number: 999_999 })).toBe(30 * DAY_MS);
  expect(table.untilMs({ owner: KEYS.owner, incarnation: LIFE, number: 1_000_000 + PARTITIONS })).toBe(0);
});
