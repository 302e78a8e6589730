/**
 * What a holder's disk takes: puts a second and megabytes a second, one after the other and many at once, for a
 * shard of a 3+3 segment and for the smallest tail. Each beside a plain write + fdatasync of the same bytes in
 * the same run, since disks differ far more than programs.
 *
 *   node bench/store.ts [DIRECTORY, default the working directory] [seconds a row, default 3]
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { openFileShardStore, openLevelMetaStore } from "../src/adapters/store/index.ts";
import { u32be, utf8 } from "../src/base/bytes.ts";
import { incarnationOf, ownerIdOf } from "../src/base/ids.ts";
import { SILENT_LOG } from "../src/base/log.ts";
import { KIB, MIB } from "../src/base/units.ts";
import { prefixed } from "../src/ports/prefixed-meta-store.ts";

const home = mkdtempSync(join(resolve(process.argv[2] ?? "."), "bench-store-"));
const seconds = Number(process.argv[3] ?? 3);
const owner = ownerIdOf(randomBytes(32));
const incarnation = incarnationOf(randomBytes(16));
const note = randomBytes(900);
const data1k = randomBytes(KIB);

async function measure(what: string, bytes: number, workers: number, work: (n: number) => Promise<unknown>) {
  let next = 0;
  const begin = performance.now();
  const endMs = begin + seconds * 1000;
  const worker = async (): Promise<void> => {
    while (performance.now() < endMs) await work(next++);
  };
  await Promise.all(Array.from({ length: workers }, worker));
  const perSecond = (next * 1000) / (performance.now() - begin);
  const row = {
    what,
    workers,
    perSecond: Math.round(perSecond),
    mbPerSecond: Math.round((perSecond * bytes) / 1e6),
  };
  console.log(JSON.stringify(row));
}

try {
  const database = await openLevelMetaStore(join(home, "db"), SILENT_LOG);
  const store = await openFileShardStore({
    directory: join(home, "shards"),
    index: prefixed(database, utf8("s")),
    capacityBytes: 2 ** 50,
    log: SILENT_LOG,
  });
  let number = 0;
  for (const [name, bytes] of [
    ["5.3 MiB", Math.round(5.34 * MIB)],
    ["16 KiB", 16 * KIB],
  ] as const) {
    const data = randomBytes(bytes);
    for (const workers of [1, 4, 16]) {
      await measure(`plain write + fdatasync, ${name}`, bytes, workers, async (n) => {
        const file = await open(join(home, `plain-${workers}-${n % 64}`), "w");
        await file.write(data);
        await file.datasync();
        await file.close();
      });
      const first = number;
      await measure(`put, ${name}`, bytes, workers, () =>
        store.put({ owner, incarnation, number: number++, index: 0 }, data, note),
      );
      const held = number - first;
      await measure(`read 16 KiB of ${name}`, 16 * KIB, workers, (n) =>
        store.read({ owner, incarnation, number: first + (n % held), index: 0 }, 0, 16 * KIB),
      );
      for (let n = first; n < number; n++) await store.delete({ owner, incarnation, number: n, index: 0 });
    }
  }
  let key = 0;
  for (const workers of [1, 16, 256]) {
    await measure("index, synced write of 1 KiB", KIB, workers, () =>
      database.write([{ type: "put", key: u32be(key++), value: data1k }], { sync: true }),
    );
  }
  const written = key;
  await measure("index, 1000 gets", 1000 * KIB, 1, async (n) => {
    for (let i = 0; i < 1000; i++) database.get(u32be((n * 1000 + i) % written));
  });
  await store.close();
  await database.close();
} finally {
  rmSync(home, { recursive: true });
}
