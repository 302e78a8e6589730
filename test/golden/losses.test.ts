import { expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { lostBody } from "../../src/wire/losses.ts";
import { AuditStory } from "../support/audits.ts";
import { goldenJson } from "./golden-file.ts";

it("a notice of loss and its answer are the pinned bytes", () => {
  const story = new AuditStory(100);
  const { owner, incarnation } = story;
  const said = {
    v: 1 as const,
    owner,
    incarnation,
    timeMs: 1_800_000_000_000,
    shards: [
      [5, 2],
      [70_000, 63],
    ] as [number, number][],
  };
  const body = lostBody.encode(said);
  const notice = story.sign("lost", said.timeMs, body);
  const encodings = {
    request: dataRequest.encode({ t: "lost", v: 1, notice }),
    answer: dataAnswer.encode({ t: "noted", v: 1, noted: 2 }),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/wire/losses.json", hex));
  expect(lostBody.decode(body)).toEqual(said);
});
