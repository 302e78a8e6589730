import { expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { AskedFor } from "../../../src/exchange/index.ts";
import { KEYS, LIFE } from "../../support/repairs.ts";

const shard = (number: number) => ({ owner: KEYS.owner, incarnation: LIFE, number, index: 0 });

it("a copy was asked for when somebody last got a receipt, else not since the start", async () => {
  const clock = new VirtualClock();
  const asked = new AskedFor(clock);
  await clock.advance(1000);
  asked.note(shard(1));
  await clock.advance(500);
  expect([asked.ageMs(shard(1)), asked.ageMs(shard(2))]).toEqual([500, 1500]);
  asked.note(shard(1));
  expect(asked.ageMs(shard(1))).toBe(0);
});

it("what is forgotten counts as asked for when it was, and so does whatever is not remembered", async () => {
  const clock = new VirtualClock();
  const asked = new AskedFor(clock);
  await clock.advance(1000);
  for (let number = 0; number <= 16_384; number++) asked.note(shard(number));
  await clock.advance(10);
  expect([asked.ageMs(shard(0)), asked.ageMs(shard(99_999))]).toEqual([10, 10]);
});
