import { join } from "node:path";
import { expect, it } from "vitest";
import { SECOND_MS } from "../../src/base/units.ts";
import { schedulerOf } from "../../src/node/index.ts";
import { FakeWatcher } from "../support/fake-watcher.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

it("what a snapshot sends keeps within what the policy says of the uplink, and is whole all the same", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
  const owner = swarm.member(0);
  const source = join(scratch(), "src");
  put(source, "big", swarm.rng.bytes(400_000));
  const secondsFor = async (): Promise<{ seconds: number; bytes: number }> => {
    const beganMs = swarm.clock.monotonicMs();
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.protection.state).toBe("full");
    return { seconds: (swarm.clock.monotonicMs() - beganMs) / SECOND_MS, bytes: made.bytesStored };
  };
  let text: string | undefined = "version: 1\ndefaults:\n  uplink: { at-most: 256kbit/s }\n";
  const scheduler = await schedulerOf(owner.node, {
    file: { read: async () => text, write: async () => {} },
    hooks: { run: async () => ({ ok: true }) },
    watcher: new FakeWatcher(),
  });
  await scheduler.reload();
  const rate = 256_000 / 8;
  const slow = await secondsFor();
  expect(slow.bytes).toBeGreaterThan(400_000);
  // The last shard is not waited for.
  expect(slow.seconds).toBeGreaterThan((0.8 * slow.bytes) / rate);
  expect(slow.seconds).toBeLessThan((1.5 * slow.bytes) / rate + 60);
  put(source, "another", swarm.rng.bytes(400_000));
  text = undefined;
  await scheduler.reload();
  expect((await secondsFor()).seconds).toBeLessThan(slow.seconds / 4);
  await swarm.stop();
});
