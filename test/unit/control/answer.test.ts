import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Fault } from "../../../src/base/fault.ts";
import { MIB } from "../../../src/base/units.ts";
import { answerMany, answerOnce } from "../../../src/control/answer.ts";
import type { CommandContext } from "../../../src/control/api.ts";

const { signal } = new AbortController();
const progress = (files: number) =>
  ({ type: "progress", phase: "fetch", files, bytes: 0, filesTotal: 0, bytesTotal: 0 }) as const;

async function collected(lines: AsyncIterable<string>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const line of lines) all.push(JSON.parse(line));
  return all;
}

test("progress, then the result; the newest progress stands for what nobody has read", async () => {
  const run = async (context: CommandContext): Promise<string> => {
    context.progress(progress(1));
    context.progress(progress(2));
    await new Promise((resolve) => setImmediate(resolve));
    context.progress(progress(3));
    return "done";
  };
  expect(await collected(answerOnce(run, signal))).toEqual([
    progress(2),
    progress(3),
    { type: "result", result: "done" },
  ]);
});

test("a command that fails after a while without progress ends the answer with its fault", async () => {
  const run = async (): Promise<never> => {
    await new Promise((resolve) => setImmediate(resolve));
    throw new Fault({ code: "INTERRUPTED" });
  };
  expect(await collected(answerOnce(run, signal))).toEqual([expect.objectContaining({ type: "error" })]);
});

test("entries, with progress between them", async () => {
  const run = async function* (context: CommandContext): AsyncGenerator<number, string, void> {
    yield 1;
    await new Promise((resolve) => setImmediate(resolve));
    context.progress(progress(1));
    await new Promise((resolve) => setImmediate(resolve));
    yield 2;
    return "all";
  };
  const lines = (item: number): string[] => [JSON.stringify(item)];
  expect(await collected(answerMany(run, signal, lines))).toEqual([
    1,
    progress(1),
    2,
    { type: "result", result: "all" },
  ]);
});

test("a command's progress leaves nothing in memory, however much there is of it", async () => {
  const events = 200_000;
  let read = (): void => {};
  let growth = 0;
  const run = async (context: CommandContext): Promise<void> => {
    const before = heapBytes();
    for (let files = 0; files < events; files++) {
      const wasRead = new Promise<void>((resolve) => {
        read = resolve;
      });
      context.progress(progress(files));
      await wasRead;
    }
    growth = heapBytes() - before;
  };
  let lines = 0;
  for await (const _ of answerOnce(run, signal)) {
    lines++;
    read();
  }
  expect(lines).toBe(events + 1);
  expect(growth).toBeLessThan(8 * MIB);
});

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}
