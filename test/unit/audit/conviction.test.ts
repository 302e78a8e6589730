import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkConviction, encodeConviction, judgeAnswer } from "../../../src/audit/index.ts";
import { must } from "../../../src/base/assert.ts";
import { incarnationOf, swarmIdOf } from "../../../src/base/ids.ts";
import { signerFromSeed } from "../../../src/crypto/sign.ts";
import { AuditStory } from "../../support/audits.ts";

const story = new AuditStory();
const stranger = signerFromSeed(new Uint8Array(32).fill(4));
const altered = story.bytes.map((byte, at) => (at === 70 ? byte ^ 1 : byte));
const judge = (request: ReturnType<AuditStory["request"]>, reply: ReturnType<AuditStory["reply"]>) =>
  judgeAnswer(story.peer, story.swarm, request, reply);

/** Evidence of a holder that signed a leaf with a bit turned over. */
function wrongEvidence(leaf = 1): Uint8Array {
  const request = story.request([0, leaf]);
  const { statement, verdicts } = judge(request, story.reply(request, altered));
  const verdict = must(verdicts[1], "verdict");
  if (verdict.is !== "wrong") throw new Error(verdict.is);
  return encodeConviction({
    statement,
    position: 1,
    proof: { t: "wrong", leaf: verdict.leaf, proof: verdict.proof },
  });
}

function deniedEvidence(
  receipt = story.receipt(),
  statement = story.denial(story.request([3])).answer.statement,
) {
  return encodeConviction({ statement, position: 0, proof: { t: "denied", receipt } });
}

describe("judging an answer", () => {
  it("takes every leaf of an honest holder as proven, the short last one too", () => {
    const leaves = Array.from({ length: Math.ceil(1000 / 64) }, (_, leaf) => leaf);
    const request = story.request(leaves);
    const { verdicts } = judge(request, story.reply(request));
    expect(verdicts).toEqual(leaves.map(() => ({ is: "proven" })));
  });

  it("tells denied, wrong and garbled leaves apart", () => {
    const request = story.request([1, 2]);
    expect(judge(request, story.denial(request)).verdicts).toEqual([{ is: "denied" }, { is: "denied" }]);
    // One leaf was altered, so no leaf leads to the root.
    expect(judge(request, story.reply(request, altered)).verdicts.map(({ is }) => is)).toEqual([
      "wrong",
      "wrong",
    ]);
    const honest = story.reply(request);
    const body = honest.body.map((byte, at) => (at === 3 ? byte ^ 1 : byte));
    expect(judge(request, { ...honest, body }).verdicts.map(({ is }) => is)).toEqual(["garbled", "proven"]);
    expect(judge(request, { ...honest, body: new Uint8Array(0) }).verdicts.map(({ is }) => is)).toEqual([
      "garbled",
      "garbled",
    ]);
  });

  it("refuses an answer to another nonce, to other leaves, by another node, of another swarm", () => {
    const request = story.request([1, 2]);
    const replies = [
      story.reply(story.request([1, 2], { nonce: new Uint8Array(32).fill(8) })),
      story.reply(story.request([1, 3])),
      story.reply(story.request([1])),
      story.reply(request, story.bytes, {}, stranger),
    ];
    for (const reply of replies) expect(() => judge(request, reply)).toThrow();
    const elsewhere = swarmIdOf(new Uint8Array(32).fill(8));
    expect(() => judgeAnswer(story.peer, elsewhere, request, story.reply(request))).toThrow("another swarm");
  });
});

describe("a conviction", () => {
  it("follows from a signed wrong answer, and names holder, shard and leaf", () => {
    const { owner, incarnation, number, index } = story;
    expect(checkConviction(wrongEvidence(), story.swarm)).toMatchObject({
      holder: story.peer,
      kind: "wrong",
      shard: { owner, incarnation, number, index },
      leaf: 1,
      timeMs: 2000,
    });
  });

  it("follows from a receipt and a later denial", () => {
    expect(checkConviction(deniedEvidence(), story.swarm)).toMatchObject({
      holder: story.peer,
      kind: "denied",
    });
  });

  it("does not follow from an honest answer, whoever shows it and with whatever leaf", () => {
    const request = story.request([1]);
    const { answer, body } = story.reply(request);
    const [proof = []] = answer.proofs;
    const { statement } = answer;
    const shown = (leaf: Uint8Array, path: Uint8Array[]) =>
      checkConviction(
        encodeConviction({ statement, position: 0, proof: { t: "wrong", leaf, proof: path } }),
        story.swarm,
      );
    expect(() => shown(body, proof)).toThrow("the answer is right");
    expect(() => shown(altered.slice(64, 128), proof)).toThrow("did not sign");
    expect(() => shown(body, proof.slice(1))).toThrow("did not sign");
    const denial = encodeConviction({
      statement,
      position: 0,
      proof: { t: "denied", receipt: story.receipt() },
    });
    expect(() => checkConviction(denial, story.swarm)).toThrow("did not say");
  });

  it("does not follow from a denial without a receipt of the same shard, root and holder, given before", () => {
    const refused: [Uint8Array, string][] = [
      [story.receipt({ timeMs: 2001 }), "younger"],
      [story.receipt({ index: 1 }), "another shard"],
      [story.receipt({ number: 6 }), "another shard"],
      [story.receipt({ root: new Uint8Array(32) }), "another shard"],
      [story.receipt({ incarnation: incarnationOf(new Uint8Array(16)) }), "another shard"],
      [story.receipt({}, stranger), "another key"],
      [story.denial(story.request([3])).answer.statement, "it is a audit"],
    ];
    for (const [receipt, why] of refused)
      expect(() => checkConviction(deniedEvidence(receipt), story.swarm)).toThrow(why);
  });

  it("does not follow in another swarm, nor from a position that the statement does not have", () => {
    expect(() => checkConviction(wrongEvidence(), swarmIdOf(new Uint8Array(32)))).toThrow("another swarm");
    const statement = story.statement(story.request([3]));
    const proof = { t: "denied", receipt: story.receipt() } as const;
    expect(() => checkConviction(encodeConviction({ statement, position: 1, proof }), story.swarm)).toThrow(
      "no such",
    );
  });

  it("does not survive any change of its bytes", () => {
    for (const evidence of [wrongEvidence(), deniedEvidence()]) {
      checkConviction(evidence, story.swarm);
      fc.assert(
        fc.property(fc.nat(evidence.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
          const forged = evidence.map((byte, i) => (i === at ? byte ^ change : byte));
          expect(() => checkConviction(forged, story.swarm)).toThrow();
        }),
        { numRuns: 300 },
      );
    }
  });
});
