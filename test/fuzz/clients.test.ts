import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { EMPTY_BYTES } from "../../src/base/bytes.ts";
import { type PeerId, peerIdOf, type ShardId } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { KIB } from "../../src/base/units.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { PeerClient } from "../../src/exchange/index.ts";
import { decodeEntry, swarmIdOfGenesis } from "../../src/membership/entry.ts";
import { joinSwarm, SyncService } from "../../src/membership/index.ts";
import { Recovery } from "../../src/node/index.ts";
import type { NetMessage, Network, Protocol } from "../../src/ports/index.ts";
import { dataAnswer } from "../../src/wire/data.ts";
import { readDescriptor } from "../../src/wire/descriptor.ts";
import { joinAnswerCodec } from "../../src/wire/membership.ts";
import { recoverAnswer } from "../../src/wire/recover.ts";
import { syncAnswerCodec } from "../../src/wire/sync.ts";
import { SteeredClock } from "../support/steered-clock.ts";
import { campaign, describeTally, messagesOf, SEED } from "./campaign.ts";
import type { AnyCodec } from "./codecs.ts";
import { mutated } from "./hostile-cbor.ts";
import { MemoryBound } from "./memory-bound.ts";
import { Protagonists, type Shard } from "./protagonists.ts";

// The other way round: whoever asks hears a peer that lies. What it says is right, spoilt, made from the schema, or of another
// question; nothing but an answer or a fault comes of it.

let story: Protagonists;

beforeAll(async () => {
  story = await Protagonists.meet(SEED);
});
afterAll(async () => {
  await story.swarm.stop();
});

/** A network end at which every request goes to the honest node, and what comes back is spoilt on its way. */
class Liar {
  answers = 0;
  readonly network: Network;
  readonly #rng: SeededRng;
  readonly #made: readonly (() => Uint8Array)[];
  #earlier: Uint8Array = EMPTY_BYTES;

  constructor(as: PeerId, rng: SeededRng, codecs: readonly AnyCodec[]) {
    this.#rng = rng;
    this.#made = codecs.map((codec) => {
      const draw = story.drawer(codec.schema);
      return () => codec.encode(z.decode(codec.schema, draw(rng)));
    });
    this.network = {
      ...story.bad.node.ports.network,
      self: as,
      request: async (_, protocol, message) => this.#answer(as, protocol, message),
      connected: () => [story.honest.peer],
    };
  }

  async #answer(as: PeerId, protocol: Protocol, message: NetMessage): Promise<NetMessage> {
    this.answers++;
    const rng = this.#rng;
    const choice = rng.below(10);
    if (choice < 2) return { head: mutated(rng, rng.pick(this.#made)()), body: this.#body() };
    if (choice === 2) return { head: rng.pick(this.#made)(), body: this.#body() };
    if (choice === 3) return { head: this.#earlier, body: this.#body() };
    const handler = must(story.honest.handlers.get(protocol), "handler");
    const right = await handler(as, message);
    if (rng.chance(0.1)) this.#earlier = right.head;
    if (choice < 7) return right;
    return rng.chance(0.7)
      ? { head: mutated(rng, right.head), body: right.body }
      : { head: right.head, body: mutated(rng, right.body) };
  }

  #body(): Uint8Array {
    return this.#rng.chance(0.7) ? EMPTY_BYTES : this.#rng.bytes(this.#rng.below(600));
  }
}

/** Each of `count` times something is asked anew, with as many questions as it takes. */
async function mislead(
  name: string,
  as: PeerId,
  codecs: readonly AnyCodec[],
  count: number,
  ask: (network: Network, rng: SeededRng) => Promise<unknown>,
  leftBytesMax?: number,
): Promise<number> {
  let liar: Liar | undefined;
  const memory = new MemoryBound();
  const tally = await campaign(
    name,
    count,
    [],
    () => EMPTY_BYTES,
    async (_, rng, index) => {
      if (index % 500 === 0) memory.sample();
      liar ??= new Liar(as, rng, codecs);
      await ask(liar.network, rng);
    },
  );
  for (const { log } of story.swarm.members) log.length = 0;
  const answers = liar?.answers ?? 0;
  console.log(`${describeTally(name, tally)}; ${answers} answers; ${memory}`);
  memory.expectBounded(leftBytesMax);
  // Now and then it gets through, or only the first look at an answer would be tested.
  expect(tally.accepted).toBeGreaterThan(0);
  expect(tally.refused.size).toBeGreaterThan(1);
  return answers;
}

function askingForShards(network: Network, protocol: "data" | "recover") {
  const client = new PeerClient({ network, clock: story.swarm.clock }, { swarm: story.swarmId, protocol });
  const peer = story.honest.peer;
  const { owner } = story.bad.identity.keys;
  return async (rng: SeededRng, shards: readonly Shard[]): Promise<unknown> => {
    const { index, body, descriptor } = rng.pick(shards);
    const known = readDescriptor(descriptor, story.swarmId);
    const shard: ShardId = { ...known.segment, index };
    const { incarnation, number } = known.segment;
    switch (rng.below(6)) {
      case 0:
        return protocol === "data" ? client.put(peer, shard, descriptor, body) : undefined;
      case 1:
        return client.getShard(peer, shard, rng.chance(0.5) ? known : undefined);
      case 2:
        return client.getRange(peer, shard, rng.chance(0.5) ? known : undefined, 64 * rng.below(3), 64);
      case 3:
        return client.have(peer, owner, incarnation, [
          [number, 0],
          [number, 1],
        ]);
      case 4:
        return client.keep(peer, owner, [story.record(rng)]);
      default:
        return client.records(peer, owner);
    }
  };
}

test.each(["data", "recover"] as const)(
  "%s: an owner that hears a lying holder",
  { timeout: 600_000 },
  async (protocol) => {
    const as = protocol === "data" ? story.bad.peer : peerIdOf(story.recovery.publicKey);
    let shards: Shard[] = [];
    let ask: ReturnType<typeof askingForShards> | undefined;
    let asked = 0;
    const answers = await mislead(
      `answers of ${protocol}`,
      as,
      [dataAnswer],
      messagesOf(10_000),
      async (network, rng) => {
        if (asked++ % 500 === 0) shards = story.segment(rng, rng.below(50));
        ask ??= askingForShards(network, protocol);
        await ask(rng, shards);
      },
    );
    expect(answers).toBeGreaterThan(messagesOf(8000));
  },
);

test("sync: a member that compares with a lying one", { timeout: 600_000 }, async () => {
  const { honest, bad, swarm } = story;
  const { roster, records } = bad.node;
  let sync: SyncService | undefined;
  const answers = await mislead(
    "answers of sync",
    bad.peer,
    [syncAnswerCodec],
    messagesOf(10_000),
    async (network) => {
      const directory = { learn: async () => {} };
      sync ??= new SyncService({
        network,
        roster,
        records,
        directory,
        clock: swarm.clock,
        rng: swarm.rng,
        log: SILENT_LOG,
      });
      await sync.syncWith(honest.peer);
    },
  );
  await sync?.stop();
  expect(answers).toBeGreaterThan(messagesOf(8000));
  // What it believes of the swarm is what it was.
  expect(roster.members().map(({ peer }) => peer)).toEqual(
    honest.node.roster.members().map(({ peer }) => peer),
  );
});

test("join: a newcomer that is let in by a liar", { timeout: 600_000 }, async () => {
  const [node, owner, recovery] = [31, 32, 33].map((byte) => signerFromSeed(new Uint8Array(32).fill(byte)));
  const keys = { node: must(node, "key"), owner: must(owner, "key"), recovery: must(recovery, "key") };
  const as = peerIdOf(story.guest.publicKey);
  const answers = await mislead(
    "answers of join",
    as,
    [joinAnswerCodec],
    messagesOf(2500),
    async (network) => {
      const admission = await joinSwarm({
        ...{ network, clock: story.swarm.clock, via: story.honest.peer, token: story.token, ...keys },
        ...{ name: "newcomer", host: "h", capacityBytes: 1 },
      });
      // Whoever it heard, it is in the swarm that its token names, under its own key.
      expect(swarmIdOfGenesis(decodeEntry(admission.genesis).bodyBytes)).toBe(story.token.swarm);
      expect(admission.certificate.body.peer).toBe(peerIdOf(keys.node.publicKey));
    },
  );
  expect(answers).toBeGreaterThan(messagesOf(2500));
});

test("recover: a recovery that asks liars", { timeout: 600_000 }, async () => {
  const keys = story.bad.identity.recovery;
  const as = peerIdOf(keys.identity.publicKey);
  const via = story.honest.peer;
  const clock = new SteeredClock();
  const codecs = [recoverAnswer, dataAnswer];
  const ask = async (network: Network, rng: SeededRng): Promise<void> => {
    const components = { network, dial: async () => via, clock, rng, log: SILENT_LOG };
    const recovery = await Recovery.begin(components, keys, via);
    expect(recovery.slot.owner).toBe(story.bad.identity.keys.owner);
    const { heads, leaps } = await recovery.askPool(() => {});
    for (const { signed } of [...heads, ...leaps])
      expect(signed.signer).toEqual(story.bad.identity.keys.signer.publicKey);
  };
  // One recovery is all that a process does: what it has read goes with that. Here it is all of them together.
  const leftBytesMax = messagesOf(1500) * 128 * KIB;
  const answers = await mislead("answers of recover", as, codecs, messagesOf(1500), ask, leftBytesMax);
  expect(answers).toBeGreaterThan(messagesOf(2500));
});
