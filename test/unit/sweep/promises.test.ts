import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { must } from "../../../src/base/assert.ts";
import { isFault, messageOf } from "../../../src/base/fault.ts";
import { type PeerId, publicKeyOfPeer, type ShardId } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { checkSigned } from "../../../src/crypto/signed.ts";
import type { Slot } from "../../../src/placement/index.ts";
import { Promises } from "../../../src/sweep/index.ts";
import { dataAnswer, shardNote } from "../../../src/wire/data.ts";
import { readDescriptor } from "../../../src/wire/descriptor.ts";
import { promiseBody } from "../../../src/wire/promise.ts";
import { decodeSigned } from "../../../src/wire/signed.ts";
import { descriptorOf, KEYS, LIFE, NOW_MS, node, SLOTS, SWARM } from "../../support/repairs.ts";
import { MemoryStore, signer } from "../membership/world.ts";
import { peerNamed } from "../placement/nodes.ts";

// Node 1 is named for shard 0 and is asked to keep it.

const SELF = node(1);
const ASKER = node(6);
const SHARD: ShardId = { owner: KEYS.owner, incarnation: LIFE, number: 0, index: 0 };
const NONCE = new Uint8Array(32).fill(4);

let store: MemoryStore;
let clock: VirtualClock;
let slots: readonly Slot[];
let held: boolean;
let isLeaving: boolean;
let promises: Promises;

function open(aDay = 1024): Promises {
  return new Promises(
    {
      ...{ store, clock, self: SELF.peer, signer: SELF.key, log: SILENT_LOG },
      shards: {
        stat: (id) => (held && id.index === 0 ? { id, bytes: 200, version: "1", note: noteOf() } : undefined),
      },
      holder: {
        guarded: (_, task) => task(),
        answerRefusals: async (task) => {
          try {
            return await task();
          } catch (error) {
            if (!isFault(error)) throw error;
            const refused = {
              t: "refused",
              v: 1,
              refusal: "not-allowed",
              reason: messageOf(error),
              freeBytes: 0,
            } as const;
            return { head: dataAnswer.encode(refused), body: new Uint8Array(0) };
          }
        },
      },
      kept: { slots: async () => [...slots] },
      disk: { requireServing: () => {} },
      isLeaving: () => isLeaving,
    },
    { swarm: SWARM, aDay },
  );
}

function noteOf(): Uint8Array {
  const descriptor = descriptorOf();
  const root = must(readDescriptor(descriptor, SWARM).roots[0], "root");
  return shardNote.encode({ v: 1, root, descriptor, receivedMs: NOW_MS });
}

beforeEach(() => {
  store = new MemoryStore();
  clock = new VirtualClock(NOW_MS);
  slots = SLOTS;
  held = true;
  isLeaving = false;
  promises = open();
});

async function ask(indices: readonly number[] = [0], descriptor = descriptorOf()) {
  const shards = indices.map((index) => ({ descriptor, index }));
  const { head } = await promises.answer(ASKER.peer, { t: "promise", v: 1, nonce: NONCE, shards });
  return dataAnswer.decode(head);
}

describe("a promise", () => {
  it("names what is kept, for whom and for how long, and is on disk before it is given", async () => {
    const answer = await ask([0, 1]);
    if (answer.t !== "promised") throw new Error(answer.t);
    const signed = decodeSigned(answer.promise);
    checkSigned(signed, { type: "promise", swarm: SWARM, signer: publicKeyOfPeer(SELF.peer) });
    const root = readDescriptor(descriptorOf(), SWARM).roots[0];
    const forMs = 30 * DAY_MS;
    expect(promiseBody.decode(signed.body)).toEqual({
      ...{ v: 1, to: ASKER.peer, nonce: NONCE, timeMs: NOW_MS, forMs, shards: [{ ...SHARD, root }] },
    });
    expect(promises.isPromised(SHARD)).toBe(true);
    expect(promises.isPromised({ ...SHARD, index: 1 })).toBe(false);
    expect(promises.count).toBe(1);
    expect(open().isPromised(SHARD)).toBe(true);
  });

  it("lasts for thirty days of running, whatever a clock or a restart says", async () => {
    await ask();
    for (let day = 0; day < 30; day++) {
      await clock.advance(DAY_MS - HOUR_MS);
      await promises.tidy();
      // An hour of each day is lost in a crash: it is not counted, and so is waited for.
      await clock.advance(HOUR_MS / 2);
      promises = open();
      expect(promises.isPromised(SHARD)).toBe(true);
    }
    await clock.advance(2 * DAY_MS);
    expect(promises.isPromised(SHARD)).toBe(false);
    await promises.tidy();
    expect(store.map.size).toBe(1);
  });

  it.each<[string, () => void]>([
    ["the map names somebody else", () => (slots = [node(2).peer, ...SLOTS.slice(1)])],
    ["no map is known", () => (slots = [])],
    ["the shard is not here", () => (held = false)],
    ["this node leaves", () => (isLeaving = true)],
  ])("is not given when %s", async (_, change) => {
    change();
    expect(await ask()).toMatchObject({ t: "refused" });
    expect(promises.isPromised(SHARD)).toBe(false);
    expect(store.map.size).toBe(0);
  });

  it("is not given for what another owner's key signed", async () => {
    const forged = descriptorOf(signer("somebody else"));
    slots = SLOTS;
    const answer = await ask([0], forged);
    if (answer.t === "promised") {
      const said = promiseBody.decode(decodeSigned(answer.promise).body);
      expect(said.shards.every(({ owner }) => owner !== KEYS.owner)).toBe(true);
    }
    expect(promises.isPromised(SHARD)).toBe(false);
  });

  it("is given to one member for 1,024 shards a day", async () => {
    for (let n = 0; n < 32; n++) expect((await ask(Array.from({ length: 32 }, () => 0))).t).toBe("promised");
    expect((await ask()).t).toBe("refused");
    await clock.advance(DAY_MS);
    expect((await ask()).t).toBe("promised");
  });

  it("is given so often a day to one member, and to eight members' share to all together", async () => {
    const indices = Array.from({ length: 32 }, () => 0);
    const shards = indices.map((index) => ({ descriptor: descriptorOf(), index }));
    const askAs = async (peer: PeerId): Promise<string> => {
      const { head } = await promises.answer(peer, { t: "promise", v: 1, nonce: NONCE, shards });
      return dataAnswer.decode(head).t;
    };
    promises = open(64);
    const peers = Array.from({ length: 9 }, (_, at) => peerNamed(`asker ${at}`));
    for (const peer of peers.slice(0, 8))
      expect([await askAs(peer), await askAs(peer), await askAs(peer)]).toEqual([
        "promised",
        "promised",
        "refused",
      ]);
    expect(await askAs(must(peers[8], "ninth"))).toBe("refused");
    await clock.advance(DAY_MS);
    expect(await askAs(must(peers[8], "ninth"))).toBe("promised");
  });
});
