/**
 * What many small snapshots of a changing tree come to: nodes in one process on simulated network and disks, sizes of the
 * format at 1/256. Every so many snapshots the list is thinned as by `keep-last 30, keep-weekly` of daily ones, and pruned.
 * Prints, as it goes: snapshots on the list, segments that are wanted, shard bytes, the tree's own bytes, and memory.
 *
 *   node bench/many-snapshots.ts [snapshots, default 10000] [prune every, default 250] [thin: yes|no, default yes]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DAY_MS } from "../src/base/units.ts";
import { SegmentRangeSet } from "../src/catalog/index.ts";
import { parseUpkeep } from "../src/upkeep/index.ts";
import { Swarm } from "../test/support/swarm.ts";

const count = Number(process.argv[2] ?? 10_000);
const pruneEvery = Number(process.argv[3] ?? 250);
const isThinned = (process.argv[4] ?? "yes") === "yes";
const FILES = 60;
const FILE_BYTES = 2000;
const DAILY_KEPT = 30;

const upkeep = parseUpkeep({ collection: { every: "6h", brake: "100%" } });
const swarm = await Swarm.create({ sites: ["a", "b", "c"], upkeep });
const owner = swarm.member(1);
const { repository } = owner.node;
const root = mkdtempSync(join(tmpdir(), "cairn-bench-"));
const signal = new AbortController().signal;

function change(file: number): void {
  const directory = join(root, `d${file % 6}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `f${file}`), swarm.rng.bytes(FILE_BYTES));
}

async function wanted(): Promise<{ segments: number; storedBytes: number }> {
  const given = new SegmentRangeSet();
  given.addAll(repository.live.state?.givenUp ?? []);
  const sum = { segments: 0, storedBytes: 0 };
  for await (const [ref, { shardBytes, slots }] of repository.catalog.segments.all()) {
    if (given.has(ref)) continue;
    sum.segments++;
    sum.storedBytes += shardBytes * slots.filter((slot) => slot !== null).length;
  }
  return sum;
}

/** The newest 30, and of older ones each seventh. */
async function thin(): Promise<void> {
  const entries = await repository.snapshots();
  const old = entries.slice(0, -DAILY_KEPT).filter(({ sequence }) => sequence % 7 !== 0);
  await repository.change(signal, async (relist) => void (await relist(old)));
}

async function line(at: number, copied: number): Promise<void> {
  const { segments, storedBytes } = await wanted();
  const listed = (await repository.snapshots()).length;
  const { uniqueBytes } = await repository.totals();
  const heapMb = Math.round(process.memoryUsage().heapUsed / 1e6);
  const runs = repository.catalog.state.runs.length;
  console.log(
    [at, listed, segments, copied, runs, storedBytes, uniqueBytes, heapMb]
      .map((n) => `${n}`.padStart(11))
      .join(""),
  );
}

const names = ["made", "listed", "segments", "copied", "runs", "stored B", "unique B", "heap MB"];
console.log(names.map((name) => name.padStart(11)).join(""));
for (let file = 0; file < FILES; file++) change(file);
for (let made = 1; made <= count; made++) {
  change(made % FILES);
  await swarm.clock.during(owner.snapshot([root], { tags: ["set:bench"] }));
  if (made % pruneEvery !== 0) continue;
  await line(made, 0);
  if (isThinned) await swarm.clock.during(thin());
  const outcome = await swarm.clock.during(repository.prune({ dryRun: false, signal }));
  await swarm.clock.advance(DAY_MS);
  await line(made, outcome.copied.segments);
}
await swarm.stop();
rmSync(root, { recursive: true });
