import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { createInlineCompute } from "../../../sim/inline-compute.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { SimShardDisk } from "../../../sim/shard-store.ts";
import { createFileOpener } from "../../../src/adapters/files/index.ts";
import { must } from "../../../src/base/assert.ts";
import { toHex } from "../../../src/base/bytes.ts";
import {
  type Incarnation,
  incarnationOf,
  type OwnerId,
  type ShardId,
  swarmIdOf,
} from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { DAY_MS, GIB, MIB } from "../../../src/base/units.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { checkSigned, signStatement } from "../../../src/crypto/signed.ts";
import { createReferenceCodec, shardRoot } from "../../../src/erasure/index.ts";
import { Holder, KeptRecords } from "../../../src/exchange/index.ts";
import {
  type DataAnswer,
  dataAnswer,
  keptBody,
  type OwnerRequest,
  receiptBody,
} from "../../../src/wire/data.ts";
import { descriptorCodec } from "../../../src/wire/descriptor.ts";
import { headBody, mapBody } from "../../../src/wire/head.ts";
import { decodeSigned, encodeSigned } from "../../../src/wire/signed.ts";
import { noise, ownerKeys } from "../../support/segments.ts";
import { signer } from "../membership/world.ts";

// What a holder takes, from whom, and what it never does, whoever asks.

const swarm = swarmIdOf(new Uint8Array(32).fill(7));
const keys = ownerKeys(1);
const stranger = ownerKeys(2);
const life = incarnationOf(new Uint8Array(16).fill(1));
const otherLife = incarnationOf(new Uint8Array(16).fill(2));
const holderKey = signer("holder");
const shards = [noise(1000, 1), noise(1000, 2), noise(1000, 3)];

let holder: Holder;
let shardDisk: SimShardDisk;
let disk: SimDisk;
let records: KeptRecords;
let metaDisk: SimMetaDisk;
let certified: Incarnation | undefined;
let quotaBytes: number | undefined;
let clock: VirtualClock;

beforeEach(() => {
  clock = new VirtualClock();
  const rng = new SeededRng("holder");
  disk = new SimDisk({ clock, rng, totalBytes: GIB });
  shardDisk = new SimShardDisk(disk, { capacityBytes: MIB });
  certified = undefined;
  quotaBytes = undefined;
  metaDisk = new SimMetaDisk(disk);
  records = openRecords();
  holder = new Holder(
    {
      shards: shardDisk.open(),
      disk: { requireServing: () => {}, requirePresent: async () => {} },
      records,
      registry: { certifiedIncarnation: () => certified, quotaOf: () => quotaBytes },
      directory: { announce: async () => {} },
      compute: createInlineCompute(createFileOpener(), createReferenceCodec()),
      clock,
      signer: holderKey,
      log: SILENT_LOG,
    },
    { swarm },
  );
});

function openRecords(): KeptRecords {
  return new KeptRecords({ store: metaDisk.open(), log: SILENT_LOG, clock }, { swarm });
}

function descriptorOf(bytes: readonly Uint8Array[], by = keys, number = 5, incarnation = life): Uint8Array {
  const body = descriptorCodec.encode({
    v: 1,
    codec: 1,
    k: 2,
    m: 1,
    class: 0,
    segmentBytes: 2000,
    shardBytes: 1000,
    leafBytes: 64,
    roots: bytes.map((shard, index) => shardRoot(shard, index, 64)),
    lockMs: 0,
    createdMs: 0,
  });
  return encodeSigned(
    signStatement({ type: "descriptor", swarm, incarnation, epoch: number, body }, by.signer),
  );
}

const idOf = (index: number, number = 5): ShardId => ({
  owner: keys.owner,
  incarnation: life,
  number,
  index,
});

async function ask(
  request: OwnerRequest,
  body: Uint8Array = new Uint8Array(0),
  as: OwnerId = keys.owner,
  mayWrite = true,
): Promise<{ answer: DataAnswer; body: Uint8Array }> {
  const reply = await holder.answer(as, request, body, mayWrite);
  return { answer: dataAnswer.decode(reply.head), body: reply.body };
}

const put = (index: number, bytes: Uint8Array, descriptor: Uint8Array, as?: OwnerId, mayWrite?: boolean) =>
  ask({ t: "put", v: 1, index, descriptor }, bytes, as, mayWrite);
const get = (id: ShardId, offset = 0, length = 0, as?: OwnerId) =>
  ask({ t: "get", v: 1, ...id, offset, length }, new Uint8Array(0), as);
const refusal = async (asked: Promise<{ answer: DataAnswer }>): Promise<string> => {
  const { answer } = await asked;
  return answer.t === "refused" ? answer.refusal : answer.t;
};
const shard = (index: number): Uint8Array => must(shards[index], "shard");

describe("a holder", () => {
  it("gives a receipt that names exactly what it has on disk", async () => {
    const { answer } = await put(1, shard(1), descriptorOf(shards));
    if (answer.t !== "receipt") throw new Error(`a ${answer.t}`);
    const signed = decodeSigned(answer.receipt);
    checkSigned(signed, { type: "receipt", swarm, signer: holderKey.publicKey });
    const receipt = receiptBody.decode(signed.body);
    expect(receipt).toMatchObject({ ...idOf(1), timeMs: signed.epoch });
    expect(toHex(receipt.root)).toBe(toHex(shardRoot(shard(1), 1, 64)));
    disk.losePower();
    expect(shardDisk.get(idOf(1))?.contents).toEqual(shard(1));
  });

  it("never replaces a shard by bytes of another root", async () => {
    await put(1, shard(1), descriptorOf(shards));
    const others = [noise(1000, 7), noise(1000, 8), noise(1000, 9)];
    expect(holder.conflicts).toBe(0);
    expect(await refusal(put(1, must(others[1], "shard"), descriptorOf(others)))).toBe("conflict");
    expect(holder.conflicts).toBe(1);
    expect((await get(idOf(1))).body).toEqual(shard(1));
  });

  it("writes a shard anew that its disk has damaged or lost", async () => {
    await put(1, shard(1), descriptorOf(shards));
    shardDisk.flipBit(idOf(1), new SeededRng("flip"));
    expect(await refusal(put(1, shard(1), descriptorOf(shards)))).toBe("receipt");
    expect(shardDisk.get(idOf(1))?.contents).toEqual(shard(1));
    shardDisk.loseFile(idOf(1));
    expect(await refusal(get(idOf(1)))).toBe("missing");
    expect(await refusal(put(1, shard(1), descriptorOf(shards)))).toBe("receipt");
    expect((await get(idOf(1))).body).toEqual(shard(1));
  });

  it.each([
    ["bytes of another shard", () => put(1, shard(0), descriptorOf(shards)), "invalid"],
    ["bytes cut short", () => put(1, shard(1).subarray(1), descriptorOf(shards)), "invalid"],
    ["an index that there is not", () => put(3, shard(1), descriptorOf(shards)), "invalid"],
    ["a forged descriptor", () => put(1, shard(1), forged(descriptorOf(shards))), "invalid"],
    ["a descriptor that is no record", () => put(1, shard(1), noise(100, 4)), "invalid"],
    ["another owner's descriptor", () => put(1, shard(1), descriptorOf(shards, stranger)), "not-allowed"],
    [
      "a recovery identity's word",
      () => put(1, shard(1), descriptorOf(shards), keys.owner, false),
      "not-allowed",
    ],
  ])("stores nothing for %s", async (_, asked, expected) => {
    expect(await refusal(asked())).toBe(expected);
    expect(shardDisk.sorted()).toEqual([]);
  });

  it("takes nothing of a fenced life, and still gives it back", async () => {
    await put(1, shard(1), descriptorOf(shards));
    certified = otherLife;
    expect(await refusal(put(0, shard(0), descriptorOf(shards)))).toBe("fenced");
    expect(await refusal(ask({ t: "keep", v: 1, records: [headOf(1)] }))).toBe("fenced");
    expect((await get(idOf(1))).body).toEqual(shard(1));
    expect(await refusal(put(0, shard(0), descriptorOf(shards, keys, 5, otherLife)))).toBe("receipt");
  });

  it("says when it has no room, and how much there is", async () => {
    disk.foreignBytes = GIB;
    const { answer } = await put(1, shard(1), descriptorOf(shards));
    expect(answer).toMatchObject({ t: "refused", refusal: "no-room", freeBytes: 0 });
  });

  it("shows shards and records to their owner only", async () => {
    await put(1, shard(1), descriptorOf(shards));
    const owner = keys.owner;
    expect(await refusal(get(idOf(1), 0, 0, stranger.owner))).toBe("not-allowed");
    const have: OwnerRequest = { t: "have", v: 1, owner, incarnation: life, shards: [[5, 1]] };
    expect(await refusal(ask(have, undefined, stranger.owner))).toBe("not-allowed");
    expect(await refusal(ask({ t: "records", v: 1, owner }, undefined, stranger.owner))).toBe("not-allowed");
  });

  it("gives ranges that begin and end at leaves, and says what it has", async () => {
    await put(1, shard(1), descriptorOf(shards));
    expect((await get(idOf(1), 64, 128)).body).toEqual(shard(1).subarray(64, 192));
    expect((await get(idOf(1), 960, 64)).body).toEqual(shard(1).subarray(960));
    for (const [offset, length] of [
      [1, 64],
      [64, 65],
      [1024, 64],
      [1000, 64],
    ] as const) {
      expect(await refusal(get(idOf(1), offset, length))).toBe("invalid");
    }
    expect(await refusal(get(idOf(0)))).toBe("missing");
    const { answer } = await ask({
      t: "have",
      v: 1,
      owner: keys.owner,
      incarnation: life,
      shards: [
        [5, 0],
        [5, 1],
        [6, 1],
      ],
    });
    expect(answer).toMatchObject({ t: "have", held: Uint8Array.of(0b010) });
  });
});

function forged(record: Uint8Array): Uint8Array {
  const signed = decodeSigned(record);
  return encodeSigned({ ...signed, epoch: signed.epoch + 1 });
}

function headOf(epoch: number, by = keys, timeMs = 0, payload = 0, incarnation = life): Uint8Array {
  const body = headBody.encode({ v: 1, timeMs, nextSegment: 0, payload: Uint8Array.of(payload) });
  return encodeSigned(signStatement({ type: "head", swarm, incarnation, epoch, body }, by.signer));
}

function mapOf(epoch: number, partitions = 16, incarnation = life, number = 0): Uint8Array {
  const shape = { class: number, k: 1, m: 1, cap: 1, partitions };
  const body = mapBody.encode({ v: 1, ...shape, peers: [], rows: [] });
  return encodeSigned(signStatement({ type: "map", swarm, incarnation, epoch, body }, keys.signer));
}

describe("records that a holder keeps", () => {
  const keep = (...records: Uint8Array[]) => ask({ t: "keep", v: 1, records });
  const kept = async (): Promise<string[]> => {
    const { answer } = await ask({ t: "records", v: 1, owner: keys.owner });
    if (answer.t !== "records") throw new Error(`a ${answer.t}`);
    return answer.records.map(decodeSigned).map(({ type, epoch }) => `${type} ${epoch}`);
  };

  it("are on disk when it says so, and the receipt names them", async () => {
    const given = [headOf(3), mapOf(2)];
    const { answer } = await keep(...given);
    if (answer.t !== "kept") throw new Error(`a ${answer.t}`);
    const signed = decodeSigned(answer.receipt);
    checkSigned(signed, { type: "head-receipt", swarm, signer: holderKey.publicKey });
    expect(keptBody.decode(signed.body).hashes.map(toHex)).toEqual(given.map((one) => toHex(sha256(one))));
    disk.losePower();
    const after = await openRecords().newest(keys.owner);
    expect(after.map(({ type, epoch }) => `${type} ${epoch}`)).toEqual(["head 3", "map 2"]);
  });

  it("never go back: an older head or map is refused, and with it all that came along", async () => {
    await keep(headOf(3), mapOf(2));
    expect(await refusal(keep(headOf(2)))).toBe("stale");
    expect(await refusal(keep(headOf(4), mapOf(1)))).toBe("stale");
    expect(await refusal(keep(mapOf(2, 32)))).toBe("stale");
    expect(await refusal(keep(headOf(3 + 2 ** 32 + 1)))).toBe("stale");
    expect(await kept()).toEqual(["head 3", "map 2"]);
    expect(await refusal(keep(headOf(3), mapOf(2)))).toBe("kept");
  });

  it("show both sides of a fork, of a bounded number", async () => {
    expect(await refusal(keep(headOf(2), headOf(1, stranger)))).toBe("invalid");
    expect(await refusal(keep(headOf(2), mapOf(1)))).toBe("kept");
    expect(await records.forks(10)).toEqual([]);
    for (const payload of [1, 2, 3, 4]) expect(await refusal(keep(headOf(3, keys, 0, payload)))).toBe("kept");
    expect(await records.forks(10)).toEqual([{ owner: keys.owner, incarnation: life, epoch: 3 }]);
    expect(await refusal(keep(headOf(3, keys, 0, 5)))).toBe("stale");
    expect(await kept()).toEqual(["head 3", "head 3", "head 3", "head 3", "map 1"]);
  });

  it.each([
    ["signed by another", () => keep(headOf(1, stranger))],
    ["of a type that is not kept", () => keep(descriptorOf(shards))],
    ["that are none", () => keep(noise(50, 1))],
  ])("are refused when they are %s", async (_, asked) => {
    expect(await refusal(asked())).toBe("invalid");
    expect(await kept()).toEqual([]);
  });

  it("are thinned out: the newest, and the first and last that came in on each day", async () => {
    for (let epoch = 1; epoch <= 46; epoch++) {
      await keep(headOf(epoch));
      if (epoch % 3 === 0 && epoch <= 12) await clock.advance(DAY_MS);
    }
    const epochs = (await records.heads(keys.owner)).map((head) => head.epoch);
    expect(epochs).toEqual([1, 3, 4, 6, 7, 9, 10, 12, 13, ...Array.from({ length: 32 }, (_, i) => i + 15)]);
    expect(await kept()).toEqual(["head 46"]);
  });

  it("stay, whatever a thief of the owner's key signs in a day and whatever time it writes", async () => {
    for (let epoch = 1; epoch <= 3; epoch++) {
      await keep(headOf(epoch));
      await clock.advance(DAY_MS);
    }
    await keep(headOf(4));
    for (let epoch = 5; epoch <= 300; epoch++) await keep(headOf(epoch, keys, (epoch - 150) ** 2 * DAY_MS));
    const epochs = (await records.heads(keys.owner)).map((head) => head.epoch);
    expect(epochs.slice(0, 4)).toEqual([1, 2, 3, 4]);
    expect(epochs.length).toBeLessThan(40);
  });

  it("of a life that the recovery key certified find room, whatever was there before", async () => {
    const lives = Array.from({ length: 256 }, (_, i) => incarnationOf(new Uint8Array(16).fill(i)));
    for (const [i, incarnation] of lives.entries())
      expect(await refusal(keep(headOf(i, keys, 0, 0, incarnation)))).toBe("kept");
    const next = incarnationOf(Uint8Array.from({ length: 16 }, (_, i) => i));
    expect(await refusal(keep(headOf(500, keys, 0, 0, next)))).toBe("not-allowed");
    certified = next;
    expect(await refusal(keep(headOf(500, keys, 0, 0, next)))).toBe("kept");
    const { answer } = await ask({ t: "records", v: 1, owner: keys.owner });
    if (answer.t !== "records") throw new Error(`a ${answer.t}`);
    expect(decodeSigned(must(answer.records[0], "first record")).incarnation).toBe(next);
  });

  it("of a life that was not heard of do not leap ahead of all others, unless it was certified", async () => {
    await keep(headOf(3));
    const far = headOf(3 + 2 ** 32 + 1, keys, 0, 0, otherLife);
    expect(await refusal(keep(far))).toBe("stale");
    certified = otherLife;
    expect(await refusal(keep(far))).toBe("kept");
  });

  it("are told as far as one answer takes them, those first that came first", async () => {
    await keep(headOf(1), mapOf(1));
    const large = (incarnation: Incarnation): Uint8Array => {
      const body = headBody.encode({ v: 1, timeMs: 0, nextSegment: 0, payload: new Uint8Array(60_000) });
      return encodeSigned(signStatement({ type: "head", swarm, incarnation, epoch: 2, body }, keys.signer));
    };
    await clock.advance(1);
    for (let i = 100; i < 250; i++) await keep(large(incarnationOf(new Uint8Array(16).fill(i))));
    const told = await kept();
    expect(told.slice(0, 2)).toEqual(["head 1", "map 1"]);
    expect(told.length).toBeLessThan(145);
  });

  it("name classes that never change: no map takes the place of one with another shape", async () => {
    await keep(mapOf(1));
    expect(await refusal(keep(mapOf(2, 32)))).toBe("invalid");
    expect(await refusal(keep(mapOf(2)))).toBe("kept");
  });

  it("are shown to the recovery of one life with all older heads", async () => {
    for (const epoch of [1, 2, 3]) await keep(headOf(epoch));
    await keep(headOf(9, keys, 0, 0, otherLife));
    const older = await holder.headsOf(keys.owner, life);
    expect(older.map(decodeSigned).map(({ epoch }) => epoch)).toEqual([3, 2, 1]);
  });

  it("of hundreds of lives that a thief made do not hide those of the life that counts, and fit an answer", async () => {
    await keep(headOf(7), mapOf(5), mapOf(6, 16, life, 1));
    for (let made = 2; made <= 240; made++) {
      const thief = incarnationOf(new Uint8Array(16).fill(made));
      await clock.advance(1);
      await keep(headOf(made, keys, 1e12 + made, 0, thief), mapOf(made, 16, thief));
    }
    certified = life;
    const { answer } = await ask({ t: "records", v: 1, owner: keys.owner });
    if (answer.t !== "records") throw new Error(`a ${answer.t}`);
    expect(answer.records).toHaveLength(256);
    const said = answer.records.map(decodeSigned);
    expect(said[0]).toMatchObject({ type: "head", epoch: 7, incarnation: life });
    const maps = said.filter(({ type }) => type === "map");
    expect(maps.slice(0, 2).map(({ epoch, incarnation }) => [epoch, incarnation])).toEqual([
      [5, life],
      [6, life],
    ]);
    // Of the others, those that were heard of first: times are a thief's to choose.
    expect(said.find(({ incarnation }) => incarnation !== life)).toMatchObject({ type: "head", epoch: 2 });
  });
});
