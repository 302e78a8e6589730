import { expect, it } from "vitest";
import { checkConviction, encodeConviction, judgeAnswer } from "../../src/audit/index.ts";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { AuditStory } from "../support/audits.ts";
import { goldenJson } from "./golden-file.ts";

it("an audit, its answers and both kinds of evidence are the pinned bytes", () => {
  const story = new AuditStory(100);
  const request = story.request([0, 1]);
  const honest = story.reply(request);
  const altered = story.reply(
    request,
    story.bytes.map((byte) => byte ^ 1),
  );
  const denial = story.denial(request);
  const { statement, verdicts } = judgeAnswer(story.peer, story.swarm, request, altered);
  const verdict = must(verdicts[1], "verdict");
  if (verdict.is !== "wrong") throw new Error(verdict.is);
  const { leaf, proof } = verdict;
  const wrong = encodeConviction({ statement, position: 1, proof: { t: "wrong", leaf, proof } });
  const receipt = story.receipt();
  const denied = encodeConviction({
    statement: denial.answer.statement,
    position: 0,
    proof: { t: "denied", receipt },
  });
  const encodings = {
    request: dataRequest.encode(request),
    answer: dataAnswer.encode(honest.answer),
    body: honest.body,
    denial: dataAnswer.encode(denial.answer),
    wrong,
    denied,
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/wire/audit.json", hex));
  expect(toHex(dataRequest.encode(dataRequest.decode(encodings.request)))).toBe(hex["request"]);
  expect([wrong, denied].map((one) => checkConviction(one, story.swarm).kind)).toEqual(["wrong", "denied"]);
});
