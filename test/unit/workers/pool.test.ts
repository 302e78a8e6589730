import { afterEach, describe, expect, it } from "vitest";
import { createWorkerCompute } from "../../../src/adapters/workers/index.ts";
import { Fault } from "../../../src/base/fault.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import { MIB } from "../../../src/base/units.ts";
import type { Compute, IngestJob, IngestKeys } from "../../../src/ports/compute.ts";
import { emptyStat } from "./scripted-opener.ts";

const keys: IngestKeys = {
  chunkIdKey: new Uint8Array(32),
  gearKey: new Uint8Array(32),
  sizes: { minBytes: 1024, averageBytes: 4096, maxBytes: 16384 },
};
const openerModule = new URL("./scripted-opener.ts", import.meta.url).href;
/** Expected to be as long as a window, so that each is a task of its own. */
const jobFor = (name: string): IngestJob => ({
  path: bytePathOf(name),
  expected: { ...emptyStat, size: 8 * MIB },
  offset: 0,
});

const open: Compute[] = [];
function createCompute(threads: number, module = openerModule): Compute {
  const compute = createWorkerCompute({ threads, openerModule: module });
  open.push(compute);
  return compute;
}
afterEach(async () => {
  for (const compute of open.splice(0)) await compute.close();
});

const smallRebuild = {
  dataShards: 2,
  parityShards: 1,
  have: [0, 1].map((index) => ({ index, bytes: Uint8Array.of(index, 1) })),
  want: [2],
};

describe("worker pool", () => {
  it.each(["exit", "throw late"])(
    "rejects the calls of a worker that dies (%s), and replaces it",
    async (name) => {
      const compute = createCompute(1);
      for (let round = 0; round < 3; round++) {
        const lost: unknown = await compute
          .ingest([jobFor(name), jobFor("slow")], keys)
          .catch((e: unknown) => e);
        expect(lost).toBeInstanceOf(Fault);
        expect(lost).toMatchObject({ detail: { code: "WORKER_LOST" } });
      }
      expect(await compute.rebuild(smallRebuild)).toHaveLength(1);
    },
  );

  it("loses only what the dead worker had been given", async () => {
    const compute = createCompute(1);
    const calls = ["exit", ...Array.from({ length: 6 }, () => "empty")].map((name) =>
      compute.ingest([jobFor(name)], keys),
    );
    const outcomes = await Promise.allSettled(calls);
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(lost.length).toBeGreaterThanOrEqual(1);
    expect(lost.length).toBeLessThanOrEqual(2);
  });

  it("fails each call, and ends, when the opener cannot be loaded", async () => {
    const compute = createCompute(2, "file:///nowhere/opener.ts");
    const calls = ["a", "b", "c"].map((name) => compute.ingest([jobFor(name)], keys));
    for (const outcome of await Promise.allSettled(calls)) expect(outcome.status).toBe("rejected");
    expect(await compute.rebuild(smallRebuild)).toHaveLength(1);
  });

  it("passes on what a job threw, and keeps the worker", async () => {
    const compute = createCompute(1);
    await expect(compute.ingest([jobFor("bug")], keys)).rejects.toThrow("a bug in the opener");
    const [denied] = await compute.ingest([jobFor("denied")], keys);
    expect(denied).toMatchObject({ errno: "EPERM" });
  });

  it("lets a short call through between the tasks of a long one", async () => {
    const compute = createCompute(1);
    let done = false;
    const long = compute
      .ingest(
        Array.from({ length: 50 }, () => jobFor("slow")),
        keys,
      )
      .then(() => {
        done = true;
      });
    await compute.rebuild(smallRebuild);
    await compute.prepare([new Uint8Array(5)], keys.chunkIdKey);
    expect(done).toBe(false);
    await long;
  });

  it("settles every call, waiting and running, when it is closed", async () => {
    const compute = createCompute(1);
    const calls = Array.from({ length: 20 }, () => compute.ingest([jobFor("slow")], keys));
    const outcomes = Promise.allSettled(calls);
    await calls[0];
    await compute.close();
    const codes = (await outcomes).map((outcome) =>
      outcome.status === "rejected" && outcome.reason instanceof Fault ? outcome.reason.code : outcome.status,
    );
    expect(new Set(codes)).toEqual(new Set(["fulfilled", "INTERRUPTED"]));
  });
});
