import { join } from "node:path";
import { expect, test } from "vitest";
import { createInlineCompute } from "../../sim/inline-compute.ts";
import { SeededRng } from "../../sim/rng.ts";
import { createFileOpener } from "../../src/adapters/files/index.ts";
import { openFileShardStore, openLevelMetaStore } from "../../src/adapters/store/index.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { must } from "../../src/base/assert.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { GIB, KIB } from "../../src/base/units.ts";
import { createReferenceCodec } from "../../src/erasure/index.ts";
import { prefixed } from "../../src/ports/index.ts";
import { Scrubber, StoreWatch } from "../../src/scrub/index.ts";
import { damageFiles } from "../support/damage.ts";
import { heldId, noteOf } from "../support/scrub-world.ts";
import { noise } from "../support/segments.ts";
import { temporaryDirectory } from "../support/stores.ts";

// Of real files, as many as make five of them one in a hundred: in the swarms of daemons of test/e2e these are a quarter.

const SHARDS = 500;

test("1 % of the shards on a disk is flipped, cut, deleted, exchanged: one round finds these and no other", async () => {
  const home = temporaryDirectory();
  const meta = await openLevelMetaStore(join(home, "meta"), SILENT_LOG);
  const index = prefixed(meta, Uint8Array.of(1));
  const directory = join(home, "shards");
  const shards = await openFileShardStore({ directory, index, capacityBytes: GIB, log: SILENT_LOG });
  const numbers = Array.from({ length: SHARDS }, (_, number) => number);
  await Promise.all(
    numbers.map((number) => {
      const bytes = noise(KIB, number);
      return shards.put(heldId(number), bytes, noteOf(heldId(number), bytes, Date.now()).note);
    }),
  );
  const files = numbers.map((number) => {
    const { file, offset } = must(shards.locate(heldId(number)), "place of a shard");
    return { number, file, offset, bytes: KIB };
  });
  // Not the first ones: wherever they lie.
  const spread = files.toSorted((a, b) => (a.number % 7) - (b.number % 7) || a.number - b.number);
  const damaged = damageFiles(spread).map(({ number }) => number);
  expect(damaged).toHaveLength(SHARDS / 100);

  const compute = createInlineCompute(createFileOpener(), createReferenceCodec());
  const parts = { shards, clock: systemClock, log: SILENT_LOG };
  const watch = new StoreWatch(parts);
  const store = prefixed(meta, Uint8Array.of(2));
  const scrubber = new Scrubber({ ...parts, store, compute, watch, rng: new SeededRng("disk") });
  const round = () => scrubber.now(new AbortController().signal, () => {});
  const expected = { scanned: SHARDS, corrupt: damaged.length, quarantined: damaged.length, complete: true };
  expect(await round()).toMatchObject(expected);
  const aside = await shards.quarantined(undefined, SHARDS);
  expect(aside.map(({ id }) => id.number).sort()).toEqual(damaged.toSorted());
  expect(await round()).toMatchObject({ scanned: SHARDS - damaged.length, corrupt: 0 });
  await scrubber.stop();
  await shards.close();
  await meta.close();
});
