import { expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { toHex } from "../../src/base/bytes.ts";
import { runningEntry } from "../../src/exchange/index.ts";
import { promiseEntry } from "../../src/sweep/index.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { promiseBody } from "../../src/wire/promise.ts";
import { AuditStory } from "../support/audits.ts";
import { descriptorOf, node } from "../support/repairs.ts";
import { goldenJson } from "./golden-file.ts";

it("a promise, what asks for it, an audit with descriptors, and what is kept are the pinned bytes", () => {
  const story = new AuditStory(100);
  const { owner, incarnation, number, index, nonce } = story;
  const timeMs = new VirtualClock(1_800_000_000_000).wallMs();
  const { root } = story.tree;
  const body = promiseBody.encode({
    ...{ v: 1, to: node(2).peer, nonce, timeMs, forMs: 2_592_000_000 },
    shards: [{ owner, incarnation, number, index, root }],
  });
  const descriptor = descriptorOf();
  const encodings = {
    request: dataRequest.encode({ t: "promise", v: 1, nonce, shards: [{ descriptor, index: 3 }] }),
    answer: dataAnswer.encode({ t: "promised", v: 1, promise: story.sign("promise", timeMs, body) }),
    audit: dataRequest.encode({ ...story.request([0]), descriptors: [descriptor] }),
    kept: promiseEntry.encode({ v: 1, untilMs: 2_592_000_001 }),
    running: runningEntry.encode({ v: 1, ms: 86_400_000 }),
  };
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v1/wire/promise.json", hex));
});
