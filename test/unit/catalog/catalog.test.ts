import { expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { must } from "../../../src/base/assert.ts";
import { incarnationOf, ownerIdOf, type PeerId, peerIdOf } from "../../../src/base/ids.ts";
import { Catalog, type SegmentRecord } from "../../../src/catalog/index.ts";
import { OwnerMaps } from "../../../src/exchange/index.ts";
import type { MetaStore } from "../../../src/ports/index.ts";

async function newCatalog(): Promise<{ catalog: Catalog; store: MetaStore }> {
  const disk = new SimDisk({ clock: new VirtualClock(), rng: new SeededRng("disk"), totalBytes: 2 ** 30 });
  const store = new SimMetaDisk(disk).open();
  const owner = ownerIdOf(new Uint8Array(32).fill(1));
  const catalog = await Catalog.create(store, { owner, incarnation: incarnationOf(new Uint8Array(16)) });
  return { catalog, store };
}

it("changes of the state at the same time are all on disk afterwards", async () => {
  const { catalog, store } = await newCatalog();
  await Promise.all([
    catalog.nextSegment(),
    catalog.update({ autoClass: { id: 3, sinceMs: 1 } }),
    catalog.nextSegment(),
    catalog.update({ mapEpoch: 7 }),
  ]);
  const again = must(Catalog.open(store), "catalog");
  expect(again.state).toEqual(catalog.state);
  expect(again.state).toMatchObject({ autoClass: { id: 3, sinceMs: 1 }, mapEpoch: 7 });
  // No number is given a second time, whatever was under way.
  expect((await again.nextSegment()).number).toBeGreaterThan(1);
});

it("a segment that is moved takes no later segment of its row with it", async () => {
  const { catalog } = await newCatalog();
  const maps = await OwnerMaps.load(catalog);
  const peer = (i: number): PeerId => peerIdOf(new Uint8Array(32).fill(i));
  const [before, after] = [
    [peer(1), peer(2)],
    [peer(1), peer(3)],
  ];
  const classId = await maps.classId({ k: 1, m: 1, cap: 1 }, 3);
  const record: SegmentRecord = {
    class: classId,
    k: 1,
    slots: [null, null],
    shardBytes: 0,
    spooled: false,
    createdMs: 0,
  };
  // Sixteen partitions: 0, 16 and 32 are of one row.
  for (let number = 0; number <= 16; number++) {
    const ref = await catalog.nextSegment();
    await catalog.segments.put(ref, record, { sync: false });
    if (number % 16 === 0) await maps.assign(classId, number, before);
  }
  const slots = (number: number) => maps.slots({ incarnation: 0, number }, classId);
  await maps.assign(classId, 0, after);
  expect([slots(0), slots(16), slots(32)]).toEqual([after, before, before]);
  // The last one may: what comes after it is not placed yet.
  await maps.assign(classId, 16, after);
  expect([slots(0), slots(16), slots(32)]).toEqual([after, after, after]);
  const again = await OwnerMaps.load(catalog);
  expect(again.slots({ incarnation: 0, number: 32 }, classId)).toEqual(after);
});
