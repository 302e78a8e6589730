import fc from "fast-check";
import { expect, it } from "vitest";
import { checkConviction, encodeConviction } from "../../src/audit/index.ts";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import type { ShardId } from "../../src/base/ids.ts";
import { shardKey } from "../../src/base/ids.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { buildTree, shardRoot } from "../../src/erasure/index.ts";
import { AuditAnswers } from "../../src/exchange/index.ts";
import { provenBy } from "../../src/trust/index.ts";
import { auditStatement } from "../../src/wire/audit.ts";
import { type AuditRequest, dataAnswer, shardNote } from "../../src/wire/data.ts";
import { descriptorCodec } from "../../src/wire/descriptor.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { AuditStory, LEAF_BYTES } from "../support/audits.ts";

// Whoever has all that an honest holder ever signed cannot convict it, whatever is replayed, cut, or put together anew.

const story = new AuditStory(200);
const SHARDS = 40;
const root = shardRoot(story.bytes, story.index, LEAF_BYTES);

/** A holder that scrubs, and whose disk has bad spots: each is found by an audit, and admitted from then on. */
class HonestHolder {
  nowMs = 10_000;
  readonly bad = new Set<string>();
  readonly aside = new Set<string>();
  /** Not as it should be: set aside once the answer was given. */
  readonly found: string[] = [];
  readonly receipts = new Map<string, Uint8Array[]>();
  readonly answers: AuditAnswers;

  constructor() {
    this.answers = new AuditAnswers(
      {
        shards: {
          stat: (id) => (this.#holds(id) ? { id, bytes: 200, note: noteOf(id), version: "1" } : undefined),
          isSetAside: (id) => this.aside.has(shardKey(id)),
          read: async (id) =>
            this.bad.has(shardKey(id)) ? story.bytes.map((byte) => byte ^ 1) : story.bytes,
        },
        disk: { requirePresent: async () => {} },
        clock: { wallMs: () => this.nowMs },
        signer: story.holder,
        onBad: (id) => this.found.push(shardKey(id)),
      },
      { swarm: story.swarm },
    );
    for (let number = 0; number < SHARDS; number++) this.put(number);
  }

  /** Puts again what it lost, too. */
  put(number: number): void {
    const key = shardKey(idOf(number));
    this.bad.delete(key);
    this.aside.delete(key);
    const given = this.receipts.get(key) ?? [];
    given.push(story.receipt({ number, timeMs: this.nowMs }));
    this.receipts.set(key, given);
  }

  isBad(number: number): boolean {
    const key = shardKey(idOf(number));
    return this.bad.has(key) || this.aside.has(key);
  }

  #holds(id: ShardId): boolean {
    const key = shardKey(id);
    return this.receipts.has(key) && !this.aside.has(key);
  }
}

function idOf(number: number): ShardId {
  const { owner, incarnation, index } = story;
  return { owner, incarnation, number, index };
}

function noteOf({ number: epoch }: ShardId): Uint8Array {
  const sizes = { k: 2, m: 1, class: 0, segmentBytes: 400, shardBytes: 200, leafBytes: LEAF_BYTES };
  const roots = [root, root, root];
  const body = descriptorCodec.encode({ v: 1, codec: 1, ...sizes, roots, lockMs: 0, createdMs: 0 });
  const by = signerFromSeed(new Uint8Array(32).fill(2));
  const of = { type: "descriptor", swarm: story.swarm, incarnation: story.incarnation, epoch } as const;
  return shardNote.encode({
    v: 1,
    root,
    descriptor: encodeSigned(signStatement({ ...of, body }, by)),
    receivedMs: 0,
  });
}

function requestOf(
  asked: readonly (readonly [number: number, leaf: number])[],
  foreign: boolean,
): AuditRequest {
  const { owner, nonce, incarnation, index } = story;
  const of = foreign ? new Uint8Array(32).fill(6) : root;
  const challenges = asked.map(([number, leaf]) => ({ incarnation, number, index, root: of, leaf }));
  return { t: "audit", v: 1, owner, nonce, challenges };
}

const event = fc.oneof(
  // Somebody who knows where it rots asks for that alone; or for three such shards among many; or for all that was found.
  { weight: 3, arbitrary: fc.record({ what: fc.constant("hunt" as const), number: fc.nat(SHARDS - 1) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("sweep" as const), number: fc.nat(SHARDS - 1) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("recall" as const) }) },

  { weight: 1, arbitrary: fc.record({ what: fc.constant("rot" as const), number: fc.nat(SHARDS - 1) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("put" as const), number: fc.nat(SHARDS - 1) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant("audit" as const),
      // What it is asked for may be shards that it never had, and roots that it does not know.
      asked: fc.array(fc.tuple(fc.nat(SHARDS + 3), fc.nat(3)), { minLength: 1, maxLength: 16 }),
      foreign: fc.boolean(),
    }),
  },
);

type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

it("an honest holder is never convicted by what it signed, in whatever order and mixture it is shown", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { minLength: 5, maxLength: 16 }),
      fc.infiniteStream(fc.nat()),
      async (events, draws) => {
        const draw = (below: number): number => must(draws.next().value, "drawn") % below;
        const holder = new HonestHolder();
        const statements: Uint8Array[] = [];
        const leaves: { leaf: Uint8Array; proof: Uint8Array[] }[] = [
          { leaf: story.bytes.slice(0, LEAF_BYTES), proof: [] },
        ];
        for (const one of events) {
          holder.nowMs += 1000;
          // One spot rots unseen: a disk on which a quarter fails at once deserves its name.
          if (one.what === "rot" && unknownBad(holder) < 1) holder.bad.add(shardKey(idOf(one.number)));
          if (one.what === "put") holder.put(one.number);
          const asked = askedBy(one, holder);
          if (asked.length === 0) continue;
          const foreign = one.what === "audit" && one.foreign;
          const reply = await holder.answers.answer(requestOf(asked, foreign));
          for (const key of holder.found.splice(0)) holder.aside.add(key);
          const answer = dataAnswer.decode(reply.head);
          if (answer.t !== "audit") throw new Error(answer.t);
          statements.push(answer.statement);
          let offset = 0;
          for (const proof of answer.proofs) {
            const length = Math.min(LEAF_BYTES, reply.body.length - offset);
            leaves.push({ leaf: reply.body.slice(offset, offset + length), proof });
            offset += length;
          }
        }
        if (statements.length === 0) return;
        const evidence = evidenceFrom(holder, statements, leaves, draw);
        const convicting = evidence.filter((bytes) => isConviction(bytes));
        for (const bytes of convicting) expect(checkConviction(bytes, story.swarm).kind).toBe("denied");
        for (let tries = 0; tries < 30; tries++) {
          const some = Array.from(
            { length: 1 + draw(3) },
            () => evidence[draw(evidence.length)] ?? new Uint8Array(),
          );
          const three = convicting.length < 3 ? some : threeOf(convicting, draw);
          for (const shown of [some, three]) expect(() => provenBy(story.peer, shown, story.swarm)).toThrow();
        }
      },
    ),
    { numRuns: 40 },
  );
}, 300_000);

function askedBy(one: Event, holder: HonestHolder): (readonly [number: number, leaf: number])[] {
  const from = (number: number, count: number) =>
    Array.from({ length: count }, (_, i) => (number + i) % SHARDS);
  const rot = (numbers: readonly number[]): void => {
    for (const number of numbers) holder.bad.add(shardKey(idOf(number)));
  };
  switch (one.what) {
    case "audit":
      return one.asked;
    case "hunt":
      rot([one.number]);
      return [[one.number, 0]];
    case "sweep": {
      const numbers = from(one.number, 16).filter((number) => !holder.isBad(number));
      if (numbers.length < 13) return [];
      rot(numbers.slice(0, 3));
      return numbers.map((number) => [number, 0] as const);
    }
    case "recall":
      return from(0, SHARDS)
        .filter((number) => holder.aside.has(shardKey(idOf(number))))
        .map((number) => [number, 0] as const);
    default:
      return [];
  }
}

function unknownBad(holder: HonestHolder): number {
  return [...holder.bad].filter((key) => !holder.aside.has(key)).length;
}

/** Every denial with every receipt, every leaf and proof with every statement; and some with a few bytes cut or changed. */
function evidenceFrom(
  holder: HonestHolder,
  statements: readonly Uint8Array[],
  leaves: readonly { leaf: Uint8Array; proof: Uint8Array[] }[],
  draw: (below: number) => number,
): Uint8Array[] {
  const receipts = [...holder.receipts.values()].flat();
  const evidence: Uint8Array[] = [];
  for (const statement of statements) {
    const { items } = auditStatement.decode(decodeSigned(statement).body);
    items.forEach(({ asked }, position) => {
      const own = holder.receipts.get(shardKey(idOf(asked.number))) ?? [];
      for (const receipt of [...own, must(receipts[draw(receipts.length)], "receipt")])
        evidence.push(encodeConviction({ statement, position, proof: { t: "denied", receipt } }));
      const { leaf, proof } = must(leaves[draw(leaves.length)], "leaf");
      evidence.push(encodeConviction({ statement, position, proof: { t: "wrong", leaf, proof } }));
    });
  }
  for (let i = 0; i < 20; i++) {
    const bytes = (evidence[draw(evidence.length)] ?? new Uint8Array(1)).slice();
    const at = draw(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 + draw(255));
    evidence.push(draw(2) === 0 ? bytes : bytes.slice(0, at));
  }
  return evidence;
}

/** Of one statement as often as not: such are the likeliest to convict. */
function threeOf(denials: readonly Uint8Array[], draw: (below: number) => number): Uint8Array[] {
  const first = must(denials[draw(denials.length)], "denial");
  const { statement } = checkConviction(first, story.swarm);
  const same = denials.filter((bytes) => checkConviction(bytes, story.swarm).statement === statement);
  const from = draw(2) === 0 ? same : denials;
  return [first, must(from[draw(from.length)], "denial"), must(from[draw(from.length)], "denial")];
}

function isConviction(bytes: Uint8Array): boolean {
  try {
    checkConviction(bytes, story.swarm);
    return true;
  } catch (error) {
    if (!isFault(error)) throw error;
    return false;
  }
}

it("another swarm's words, and those of another type, convict nobody", () => {
  const tree = buildTree(story.bytes, story.index, LEAF_BYTES);
  const body = auditStatement.encode({
    v: 1,
    owner: story.owner,
    nonce: story.nonce,
    timeMs: 2000,
    items: [
      { asked: { ...must(story.request([0]).challenges[0], "challenge"), root: tree.root }, found: null },
    ],
  });
  const elsewhere = new AuditStory(200, new AuditStory().swarm);
  const statement = encodeSigned(
    signStatement(
      { type: "receipt", swarm: elsewhere.swarm, incarnation: NO_INCARNATION, epoch: 2000, body },
      story.holder,
    ),
  );
  const evidence = encodeConviction({
    statement,
    position: 0,
    proof: { t: "denied", receipt: story.receipt() },
  });
  expect(isConviction(evidence)).toBe(false);
});
