import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { SimShardDisk } from "../../../sim/shard-store.ts";
import { incarnationOf, type ShardId, swarmIdOf } from "../../../src/base/ids.ts";
import { GIB, MINUTE_MS } from "../../../src/base/units.ts";
import { signStatement } from "../../../src/crypto/signed.ts";
import { QuotaLedger } from "../../../src/exchange/index.ts";
import type { ShardStore } from "../../../src/ports/index.ts";
import { shardNote } from "../../../src/wire/data.ts";
import { descriptorCodec } from "../../../src/wire/descriptor.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
import { ownerKeys } from "../../support/segments.ts";

const swarm = swarmIdOf(new Uint8Array(32).fill(7));
const life = incarnationOf(new Uint8Array(16).fill(1));
const keys = ownerKeys(1);
const other = ownerKeys(2);
const SHARD_BYTES = 100;

let clock: VirtualClock;
let store: ShardStore;
let ledger: QuotaLedger;
let quotaBytes: number | undefined;

beforeEach(() => {
  clock = new VirtualClock();
  const disk = new SimDisk({ clock, rng: new SeededRng("quota"), totalBytes: GIB });
  store = new SimShardDisk(disk, { capacityBytes: GIB }).open();
  quotaBytes = 1000;
  ledger = openLedger();
});

function openLedger(): QuotaLedger {
  return new QuotaLedger({ shards: store, clock, quotaOf: () => quotaBytes });
}

/** One shard of a segment of k + 1: with k = 2 the segment takes 300 bytes. */
async function put(number: number, index: number, k = 2, by = keys): Promise<"stored" | "refused"> {
  const descriptor = encodeSigned(
    signStatement(
      {
        type: "descriptor",
        swarm,
        incarnation: life,
        epoch: number,
        body: descriptorCodec.encode({
          v: 1,
          codec: 1,
          k,
          m: 1,
          class: 0,
          segmentBytes: k * SHARD_BYTES,
          shardBytes: SHARD_BYTES,
          leafBytes: 64,
          roots: Array.from({ length: k + 1 }, () => new Uint8Array(32)),
          lockMs: 0,
          createdMs: 0,
        }),
      },
      by.signer,
    ),
  );
  const id: ShardId = { owner: by.owner, incarnation: life, number, index };
  const note = shardNote.encode({ v: 1, root: new Uint8Array(32), descriptor, receivedMs: 0 });
  try {
    await ledger.charge(id, descriptor, () => store.put(id, new Uint8Array(SHARD_BYTES), note));
    return "stored";
  } catch (error) {
    expect(error).toMatchObject({ code: "QUOTA_EXCEEDED", detail: { owner: by.owner, quotaBytes } });
    return "refused";
  }
}

describe("a holder's ledger of quotas", () => {
  it("counts of each segment that it sees what all of its shards take, once", async () => {
    for (const [number, index] of [
      [1, 0],
      [1, 1],
      [1, 0],
      [2, 2],
      [3, 1],
    ] as const)
      expect(await put(number, index)).toBe("stored");
    expect(await put(4, 0)).toBe("refused");
    expect(store.stat({ owner: keys.owner, incarnation: life, number: 4, index: 0 })).toBeUndefined();
    // What is paid for may still come.
    expect(await put(3, 2)).toBe("stored");
  });

  it("counts the same after a restart, and each owner alone", async () => {
    for (const number of [1, 2, 3]) await put(number, 0);
    for (const number of [1, 2]) expect(await put(number, 0, 2, other)).toBe("stored");
    ledger = openLedger();
    expect(await put(4, 0)).toBe("refused");
    expect(await put(3, 0, 2, other)).toBe("stored");
    expect(await put(4, 0, 2, other)).toBe("refused");
  });

  it("does not let one descriptor pay for another of the same segment", async () => {
    for (const k of [2, 3]) expect(await put(1, k - 1, k)).toBe("stored");
    expect(await put(1, 3, 4)).toBe("refused");
    ledger = openLedger();
    expect(await put(1, 3, 4)).toBe("refused");
  });

  it("gives back what was not stored in the end", async () => {
    const broken = { ...store, put: () => Promise.reject(new Error("disk")) };
    for (const number of [1, 2]) await put(number, 0);
    const sound = store;
    store = broken;
    await expect(put(3, 0)).rejects.toThrow();
    store = sound;
    expect(await put(3, 0)).toBe("stored");
  });

  it("lets an owner store again after shards have gone or its quota was raised", async () => {
    for (const number of [1, 2, 3]) await put(number, 0);
    expect(await put(4, 0)).toBe("refused");
    await store.delete({ owner: keys.owner, incarnation: life, number: 1, index: 0 });
    await clock.advance(10 * MINUTE_MS);
    expect(await put(4, 0)).toBe("stored");
    expect(await put(5, 0)).toBe("refused");
    quotaBytes = 1200;
    expect(await put(5, 0)).toBe("stored");
  });

  it("bounds nobody who has no quota", async () => {
    quotaBytes = undefined;
    for (let number = 0; number < 20; number++) expect(await put(number, 0)).toBe("stored");
  });
});
