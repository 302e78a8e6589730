import { expect, it } from "vitest";
import { calmLog } from "../../../src/base/calm-log.ts";
import type { Log } from "../../../src/base/log.ts";

function recording() {
  const lines: [string, Readonly<Record<string, unknown>>][] = [];
  const note = (event: string, fields: Readonly<Record<string, unknown>> = {}) =>
    void lines.push([event, fields]);
  const inner: Log = { debug: note, info: note, warn: note, error: note };
  let now = 0;
  const log = calmLog(inner, () => now);
  return { log, lines, pass: (ms: number) => void (now += ms) };
}

it("writes an event five times a minute for each subject, and how many more there were afterwards", () => {
  const { log, lines, pass } = recording();
  for (let time = 0; time < 1000; time++) log.warn("refused", { peer: "a", time });
  log.warn("refused", { peer: "b" });
  log.info("other", { peer: "a" });
  expect(lines).toHaveLength(7);
  pass(60_000);
  log.info("other", { peer: "c" });
  expect(lines.slice(7)).toEqual([
    ["refused", { peer: "a", time: 999, suppressed: 995 }],
    ["other", { peer: "c" }],
  ]);
  log.warn("refused", { peer: "a" });
  expect(lines.at(-1)).toEqual(["refused", { peer: "a" }]);
});

it("does not grow with subjects that somebody makes up, nor write them all", () => {
  const { log, lines } = recording();
  for (let made = 0; made < 100_000; made++) log.info("stranger-turned-away", { source: `s${made}` });
  expect(lines).toHaveLength(256 + 5);
  log.warn("request-handler-failed", { peer: "a" });
  expect(lines.at(-1)).toEqual(["request-handler-failed", { peer: "a" }]);
});
