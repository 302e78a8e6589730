import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { type PeerId, peerIdOf, type SwarmId } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { MINUTE_MS } from "../../../src/base/units.ts";
import { NO_INCARNATION, signStatement } from "../../../src/crypto/signed.ts";
import { RecordStore } from "../../../src/membership/index.ts";
import type { NetMessage } from "../../../src/ports/index.ts";
import { beatOfStatus, OwnChain, type Tick, TickBook, TickGossip } from "../../../src/ticks/index.ts";
import { nodeStatusCodec } from "../../../src/wire/membership.ts";
import { syncAnswerCodec, syncRequestCodec } from "../../../src/wire/sync.ts";
import { PACKED_TICK_BYTES, packTick } from "../../../src/wire/ticks.ts";
import { type Keys, largeSwarm } from "../../support/large-swarm.ts";
import { MemoryNet, MemoryStore, START_MS, TestClock, testRng } from "../membership/world.ts";

const COUNT = 20;
const EVERY_MS = 5 * MINUTE_MS;

interface End {
  readonly book: TickBook;
  readonly records: RecordStore;
  readonly heard: Tick[];
}

interface World {
  readonly swarm: SwarmId;
  readonly keys: readonly Keys[];
  readonly ends: readonly End[];
  readonly clock: TestClock;
}

async function world(count: number): Promise<World> {
  const clock = new TestClock();
  const { keys, roster } = await largeSwarm(count, clock);
  const ends: End[] = [];
  for (const _ of keys) {
    const records = await RecordStore.open({ store: new MemoryStore(), roster, log: SILENT_LOG });
    const book = new TickBook({ records, roster });
    const heard: Tick[] = [];
    book.onTick((tick) => heard.push(tick));
    ends.push({ book, records, heard });
  }
  return { keys, ends, clock, swarm: roster.swarm };
}

function chainOf({ node }: Keys, seed: string): OwnChain {
  return new OwnChain(node.publicKey, testRng(seed).bytes(16), COUNT);
}

/** Everybody has the status in which the chain is anchored. */
async function say({ ends, swarm }: World, keys: Keys, chain: OwnChain, epoch: number): Promise<void> {
  const body = nodeStatusCodec.encode({
    v: 1,
    addresses: [],
    capacityBytes: 1,
    usedBytes: 0,
    freeBytes: 1,
    formatVersions: { reads: [1], writes: 1 },
    programVersion: "test",
    timeMs: START_MS,
    ticks: { anchor: chain.anchor, everyMs: EVERY_MS, count: COUNT },
  });
  const statement = { type: "status" as const, swarm, incarnation: NO_INCARNATION, epoch, body };
  for (const { records } of ends) await records.put(signStatement(statement, keys.node));
}

const packed = (peer: PeerId, chain: OwnChain, index: number, epoch = 7, value = chain.at(index)) =>
  packTick(peer, { chain: epoch % 0x10000, index, value });

describe("a tick", () => {
  test("is taken once, says when it was told, and older ones change nothing", async () => {
    const all = await world(2);
    const { book, heard } = must(all.ends[0], "end");
    const keys = must(all.keys[0], "keys");
    const chain = chainOf(keys, "a");
    await say(all, keys, chain, 7);
    for (const index of [3, 3, 1, 2]) expect(book.offer(packed(keys.peer, chain, index)).forged).toBe(0);
    expect(heard).toEqual([{ peer: keys.peer, beat: beatOfStatus(7) + 3, sentMs: START_MS + 3 * EVERY_MS }]);
    book.offer(packed(keys.peer, chain, 5));
    expect(heard).toHaveLength(2);
    expect(book.packed(keys.peer)).toEqual(packed(keys.peer, chain, 5));
  });

  test("made up, of another chain, or beyond the chain's end, has no effect", async () => {
    const all = await world(2);
    const { book, heard } = must(all.ends[0], "end");
    const keys = must(all.keys[0], "keys");
    const other = must(all.keys[1], "other keys");
    const chain = chainOf(keys, "a");
    await say(all, keys, chain, 7);
    book.offer(packed(keys.peer, chain, 2));
    const made = [
      packed(keys.peer, chain, 4, 7, new Uint8Array(16)),
      // One that is told already, as if it were the next.
      packed(keys.peer, chain, 3, 7, chain.at(2)),
      packed(keys.peer, chain, 3, 7, chainOf(keys, "b").at(3)),
      packed(keys.peer, chain, 21, 7, chain.at(20)),
    ];
    for (const bytes of made) expect(book.offer(bytes).forged).toBe(1);
    // Of a status that this node has not got, of a node that has none, of nobody.
    for (const [peer, epoch] of [
      [keys.peer, 8],
      [other.peer, 7],
      [peerIdOf(new Uint8Array(32).fill(9)), 7],
    ] as const)
      expect(book.offer(packed(peer, chain, 3, epoch))).toEqual({ held: [], forged: 0 });
    expect(heard).toHaveLength(1);
    expect(() => book.offer(new Uint8Array(27))).toThrow(/cut off/);
    expect(book.offer(packed(keys.peer, chain, 3)).held).toEqual([[keys.peer, beatOfStatus(7) + 3]]);
  });

  test("of a new status counts, and those of the one before no more", async () => {
    const all = await world(2);
    const { book, heard } = must(all.ends[0], "end");
    const keys = must(all.keys[0], "keys");
    const [old, next] = [chainOf(keys, "a"), chainOf(keys, "b")];
    await say(all, keys, old, 7);
    book.offer(packed(keys.peer, old, 4));
    await say(all, keys, next, 9);
    expect(book.offer(packed(keys.peer, old, 5))).toEqual({ held: [], forged: 0 });
    book.offer(packed(keys.peer, next, 1, 9));
    expect(heard.map(({ beat }) => beat)).toEqual([beatOfStatus(7) + 4, beatOfStatus(9) + 1]);
  });

  test("cut off or made of any bytes is refused or without effect", async () => {
    const all = await world(3);
    const { book, heard } = must(all.ends[0], "end");
    for (const [index, keys] of all.keys.entries()) await say(all, keys, chainOf(keys, `${index}`), 7);
    const prefixes = all.keys.map(({ peer }) =>
      packTick(peer, { chain: 7, index: 0, value: new Uint8Array(16) }),
    );
    fc.assert(
      fc.property(fc.nat(3), fc.uint8Array({ maxLength: 100 }), (which, bytes) => {
        const head = prefixes[which]?.subarray(0, 8) ?? new Uint8Array(0);
        const message = Buffer.concat([head, bytes]);
        if (message.length % PACKED_TICK_BYTES === 0) book.offer(message);
        else expect(() => book.offer(message)).toThrow(/cut off/);
      }),
    );
    expect(heard).toEqual([]);
  });

  test("in a message full of forged ones stops being looked for", async () => {
    const all = await world(2);
    const { book, heard } = must(all.ends[0], "end");
    const keys = must(all.keys[0], "keys");
    const chain = chainOf(keys, "a");
    await say(all, keys, chain, 7);
    const forged = packed(keys.peer, chain, COUNT, 7, new Uint8Array(16));
    const bytes = Buffer.concat([...Array.from({ length: 50 }, () => forged), packed(keys.peer, chain, 1)]);
    expect(book.offer(bytes)).toEqual({ held: [], forged: 9 });
    expect(heard).toEqual([]);
  });
});

/** As the sync service does; counts the ticks that go over the link. */
async function answerOf(
  gossip: TickGossip,
  from: PeerId,
  head: Uint8Array,
  onTicks: (count: number) => void,
): Promise<NetMessage> {
  const request = syncRequestCodec.decode(head);
  if (request.kind !== "ticks") throw new Error("only ticks are exchanged here");
  const ticks = gossip.answer(from, request.fresh, request.ticks);
  onTicks((request.ticks.length + ticks.length) / PACKED_TICK_BYTES);
  return { head: syncAnswerCodec.encode({ v: 1, kind: "ticked", ticks }), body: new Uint8Array(0) };
}

describe("gossip of ticks", () => {
  test("brings every tick to everybody over three links each, without telling it twice over one", async () => {
    const count = 24;
    const all = await world(count);
    const net = new MemoryNet();
    const chains = all.keys.map((keys, index) => chainOf(keys, `chain ${index}`));
    for (const [index, keys] of all.keys.entries()) await say(all, keys, must(chains[index], "chain"), 7);
    let ticks = 0;
    const gossips = all.keys.map(({ peer }, index) => {
      const { book } = must(all.ends[index], "end");
      const network = net.end(peer);
      const gossip = new TickGossip(
        { network, book, clock: all.clock, rng: testRng(peer), log: SILENT_LOG },
        { beatEveryMs: EVERY_MS },
      );
      network.handle("sync", async (from, { head }) =>
        answerOf(gossip, from, head, (sent) => (ticks += sent)),
      );
      gossip.start();
      return gossip;
    });
    await all.clock.advance(MINUTE_MS);
    for (let index = 1; index <= 2; index++) {
      ticks = 0;
      for (const [at, { peer }] of all.keys.entries())
        must(all.ends[at], "end").book.tell(peer, index, must(chains[at], "chain").at(index));
      await all.clock.advance(EVERY_MS);
      for (const { heard } of all.ends) expect(heard).toHaveLength(count * index);
      // Each over every link in one direction: three links that each began.
      expect(ticks).toBeLessThanOrEqual(3 * count * count);
    }
    await Promise.all(gossips.map((gossip) => gossip.stop()));
  });
});
