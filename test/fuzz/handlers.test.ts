import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { EMPTY_BYTES, equalBytes } from "../../src/base/bytes.ts";
import { Fault, type FaultCode } from "../../src/base/fault.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { joinSwarm } from "../../src/membership/index.ts";
import type { NetMessage, Network, Protocol } from "../../src/ports/index.ts";
import { PROTOCOLS } from "../../src/ports/network.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { joinAnswerCodec, joinRequestCodec } from "../../src/wire/membership.ts";
import { recoverAnswer, recoverRequest } from "../../src/wire/recover.ts";
import { syncAnswerCodec, syncRequestCodec } from "../../src/wire/sync.ts";
import { campaign, describeTally, MESSAGES_PER_PROTOCOL, messagesOf, SEED } from "./campaign.ts";
import type { AnyCodec } from "./codecs.ts";
import { mutated } from "./hostile-cbor.ts";
import { MemoryBound } from "./memory-bound.ts";
import { Protagonists, type Shard } from "./protagonists.ts";

// Whole handlers of a running node, asked by everybody who may open a connection: nothing but answers and faults comes
// out, and afterwards an honest request is served as before.

let story: Protagonists;
let segments: Shard[][] = [];

beforeAll(async () => {
  story = await Protagonists.meet(SEED);
});
afterAll(async () => {
  await story.swarm.stop();
});

const IDLE = { idleTimeoutMs: 60_000 };

/** What a handler threw is what the network's fault was caused by. */
async function ask(from: Network, protocol: Protocol, message: NetMessage): Promise<NetMessage> {
  try {
    return await from.request(story.honest.peer, protocol, message, IDLE);
  } catch (error) {
    if (error instanceof Fault && error.code === "PEER_UNREACHABLE" && error.cause !== undefined) {
      throw error.cause;
    }
    throw error;
  }
}

/** What the logs of this test keep is not the node's memory; errors would be a bug. */
function forgetLogs(): void {
  for (const { log } of story.swarm.members) {
    const isBug = ({ level, event }: (typeof log)[number]): boolean =>
      level === "error" && event !== "fenced" && event !== "live-set-fork";
    expect(log.filter(isBug)).toEqual([]);
    log.length = 0;
  }
}

/** The shard that belongs to a put, the list that belongs to a live set. */
const bodies = new WeakMap<Uint8Array, Uint8Array>();

type Maker = (rng: SeededRng, index: number) => Uint8Array;

/** Requests of a schema, with what the protagonists know in them; one in four is left as it is. */
function requestsOf(
  codec: AnyCodec,
  own: (rng: SeededRng) => Uint8Array | undefined = () => undefined,
): Maker {
  const draw = story.drawer(codec.schema);
  let stock: Uint8Array[] = [];
  const fresh = (rng: SeededRng): Uint8Array => own(rng) ?? codec.encode(z.decode(codec.schema, draw(rng)));
  return (rng, index) => {
    if (index % 1000 === 0) stock = Array.from({ length: 200 }, () => fresh(rng));
    const message = must(stock[rng.below(stock.length)], "message of the stock");
    if (rng.chance(0.25)) return message;
    const spoilt = mutated(rng, message);
    const body = bodies.get(message);
    if (body !== undefined) bodies.set(spoilt, body);
    return spoilt;
  };
}

/** A put, a get of what may have been put, a head, a live set, or what the schema makes. */
function shardsOr(rng: SeededRng): Uint8Array | undefined {
  const choice = rng.below(12);
  if (choice > 5) return undefined;
  if (choice === 4) return dataRequest.encode({ t: "keep", v: 1, records: [story.head(rng)] });
  if (choice === 5) {
    const { record, list } = story.liveSet(rng);
    const request = dataRequest.encode({ t: "live-set", v: 1, record });
    bodies.set(request, list);
    return request;
  }
  const { index, descriptor, body } = rng.pick(rng.pick(segments));
  if (choice === 0) {
    const [number, offset, length] = [rng.below(50), 64 * rng.below(3), 32 * rng.below(9)];
    const { owner } = story.bad.identity.keys;
    const incarnation = must(story.lives[0], "life");
    return dataRequest.encode({ t: "get", v: 1, owner, incarnation, number, index, offset, length });
  }
  const request = dataRequest.encode({ t: "put", v: 1, index, descriptor });
  bodies.set(request, body);
  return request;
}

function withSegments(make: Maker): Maker {
  return (rng, index) => {
    if (index % 1000 === 0) segments = Array.from({ length: 20 }, () => story.segment(rng, rng.below(50)));
    return make(rng, index);
  };
}

function bodyFor(head: Uint8Array, rng: SeededRng): Uint8Array {
  if (rng.chance(0.9)) return bodies.get(head) ?? EMPTY_BYTES;
  return rng.chance(0.5) ? rng.pick(rng.pick(segments)).body : rng.bytes(rng.below(500));
}

/** How often each kind of answer was heard. */
class Heard {
  readonly #counts = new Map<string, number>();
  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
  /** That the messages reached what they were to reach: with nothing but refusals a test would show nothing. */
  expectAll(...kinds: readonly string[]): void {
    expect([...this.#counts.keys()]).toEqual(expect.arrayContaining([...kinds]));
  }
  toString(): string {
    return [...this.#counts].map(([what, times]) => `${what} ${times}`).join(", ");
  }
}

async function besiege(
  name: string,
  from: Network,
  protocol: Protocol,
  make: Maker,
  heardIn: (answer: NetMessage) => string,
  codes: readonly FaultCode[] = [],
  count = MESSAGES_PER_PROTOCOL,
): Promise<Heard> {
  const heard = new Heard();
  // Right to where the network hands it over: what that does with messages is tested elsewhere.
  const handler = must(story.honest.handlers.get(protocol), "handler");
  const memory = new MemoryBound();
  const tally = await campaign(name, count, codes, make, async (head, rng, index) => {
    if (index % 1000 === 0) memory.sample();
    const body = protocol === "data" || protocol === "recover" ? bodyFor(head, rng) : EMPTY_BYTES;
    heard.add(heardIn(await handler(from.self, { head, body })));
  });
  forgetLogs();
  console.log(`${describeTally(name, tally)}; heard: ${heard}; ${memory}`);
  memory.expectBounded();
  return heard;
}

const dataKind = (answer: NetMessage): string => {
  const said = dataAnswer.decode(answer.head);
  return said.t === "refused" ? said.refusal : said.t;
};
const syncKind = (answer: NetMessage): string => {
  const said = syncAnswerCodec.decode(answer.head);
  return said.kind === "refused" ? said.refusal : said.kind;
};
const joinKind = (answer: NetMessage): string => {
  const said = joinAnswerCodec.decode(answer.head);
  return said.kind === "refused" ? said.refusal : said.kind;
};
/** The recovery protocol answers in its own words, or in those of the protocol data. */
const recoverKind = (answer: NetMessage): string => {
  let said: ReturnType<typeof recoverAnswer.decode>;
  try {
    said = recoverAnswer.decode(answer.head);
  } catch {
    return dataKind(answer);
  }
  return said.t === "refused" ? said.refusal : said.t;
};

let honestRequests = 0;

/** A third member, who has done nothing, is served as on the first day. */
async function serveHonestly(): Promise<void> {
  const { swarm } = story;
  const third = swarm.member(2);
  const { network } = third.node.ports;
  const number = honestRequests++;
  const [shard] = story.segment(swarm.rng.fork(`honest ${number}`), number, third);
  const { index, body, descriptor } = must(shard, "shard");
  const put = { head: dataRequest.encode({ t: "put", v: 1, index, descriptor }), body };
  expect(dataKind(await ask(network, "data", put))).toBe("receipt");
  const [roster, records] = [new Uint8Array(32), new Uint8Array(32)];
  const head = syncRequestCodec.encode({ v: 1, kind: "compare", roster, records });
  expect(syncKind(await ask(network, "sync", { head, body: EMPTY_BYTES }))).toBe("compared");
  forgetLogs();
}

test("data: what a member sends", { timeout: 600_000 }, async () => {
  const make = withSegments(requestsOf(dataRequest, shardsOr));
  const from = story.bad.node.ports.network;
  const heard = await besiege("data by a member", from, "data", make, dataKind, ["FORMAT_INVALID"]);
  heard.expectAll("receipt", "shard", "have", "kept", "records", "live-kept");
  heard.expectAll("not-allowed", "invalid", "stale", "missing", "conflict");
  await serveHonestly();
});

test("sync: what a member sends, and what a former one does", { timeout: 600_000 }, async () => {
  const make = requestsOf(syncRequestCodec);
  const member = story.bad.node.ports.network;
  const share = MESSAGES_PER_PROTOCOL / 5;
  const heard = await besiege("sync by a member", member, "sync", make, syncKind, [], 4 * share);
  heard.expectAll("compared", "listed", "fetched", "taken", "introduced", "FORMAT_INVALID");
  const former = story.former.node.ports.network;
  expect(story.honest.node.roster.roleOf(former.self)).toBe("former");
  const heardAsFormer = await besiege("sync by a former", former, "sync", make, syncKind, [], share);
  heardAsFormer.expectAll("compared", "listed", "fetched", "taken", "NOT_A_MEMBER", "FORMAT_INVALID");
  await serveHonestly();
});

test("recover: what a recovery identity sends", { timeout: 600_000 }, async () => {
  const own = requestsOf(recoverRequest);
  const reading = requestsOf(dataRequest, shardsOr);
  const make = withSegments((rng, index) => (index % 2 === 0 ? own : reading)(rng, index - (index % 2)));
  const from = story.bad.guest(story.recovery).network;
  const heard = await besiege("recover", from, "recover", make, recoverKind, [
    "FORMAT_INVALID",
    "NOT_ALLOWED",
  ]);
  heard.expectAll("welcome", "pool", "NOT_ALLOWED", "records", "not-allowed");
  await serveHonestly();
});

test("join: what a guest with a token sends", { timeout: 600_000 }, async () => {
  const from = story.bad.guest(story.guest).network;
  const make = requestsOf(joinRequestCodec);
  const heard = await besiege("join", from, "join", make, joinKind);
  heard.expectAll("welcome", "NOT_ALLOWED", "FORMAT_INVALID", "SIGNATURE_INVALID");
  await serveHonestly();
  // The token has not been spent by any of it.
  const [node, owner, recovery] = [21, 22, 23].map((byte) => signerFromSeed(new Uint8Array(32).fill(byte)));
  const admission = await joinSwarm({
    ...{ network: from, clock: story.swarm.clock, via: story.honest.peer, token: story.token },
    ...{ node: must(node, "key"), owner: must(owner, "key"), recovery: must(recovery, "key") },
    ...{ name: "newcomer", host: "h", capacityBytes: 1 },
  });
  expect(equalBytes(admission.certificate.body.recovery, must(recovery, "key").publicKey)).toBe(true);
});

test("nobody reaches a protocol that is not his, whatever he sends", { timeout: 600_000 }, async () => {
  const codecs = {
    data: dataRequest,
    sync: syncRequestCodec,
    join: joinRequestCodec,
    recover: recoverRequest,
  };
  const callers = [
    ["a stranger", story.bad.guest(story.stranger).network, []],
    ["a guest with a token", story.bad.guest(story.guest).network, ["join"]],
    ["a recovery identity", story.bad.guest(story.recovery).network, ["recover"]],
    ["a former member", story.former.node.ports.network, ["sync"]],
  ] as const;
  for (const [who, network, own] of callers) {
    for (const protocol of PROTOCOLS.filter((one) => !own.some((allowed) => allowed === one))) {
      const tally = await campaign(
        `${protocol} by ${who}`,
        messagesOf(1000),
        who === "a stranger" ? ["PEER_UNREACHABLE"] : ["PEER_REFUSED"],
        requestsOf(codecs[protocol]),
        (head) => ask(network, protocol, { head, body: EMPTY_BYTES }),
      );
      expect([who, protocol, tally.accepted]).toEqual([who, protocol, 0]);
    }
  }
});
