/**
 * Two files that no memory holds: one of 20 GB that is nearly all hole, and one of 4 GB that is all data. Each is saved
 * and restored in a swarm of six daemons; memory of owner and holders must stay below the same bound as for any other
 * job, and what comes back must be equal, and sparse where it was. Exits with 1 where that is not so.
 *
 *   node bench/large-files.ts [--sparse-gb 20] [--real-gb 4] [--json FILE]
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MIB } from "../src/base/units.ts";
import { restoreResult, snapshotResult } from "../src/control/results.ts";
import { resultOf } from "../test/support/cli.ts";
import { DaemonSwarm } from "../test/support/daemons.ts";
import { loadAverage, PeakMemory, run, runWell } from "./main-job/processes.ts";

const SITES = ["a", "b", "c", "a", "b", "c"];
const DAEMON_BYTES_MAX = 400_000_000;
const PATIENCE_MS = 30 * 60_000;
const GB = 1_000_000_000;
/** Blocks that a file system may use for the map of a sparse file. */
const MAP_BYTES_MAX = MIB;

const { values } = parseArgs({
  options: {
    "sparse-gb": { type: "string", default: "20" },
    "real-gb": { type: "string", default: "4" },
    json: { type: "string" },
  },
});

/** 4 MiB of data in 16 islands: at the beginning, at odd places, none at the end. */
function makeSparse(path: string, bytes: number): number {
  const file = openSync(path, "w");
  const island = randomBytes(MIB / 4);
  for (let i = 0; i < 16; i++) writeSync(file, island, 0, island.length, Math.floor((bytes / 17) * i));
  ftruncateSync(file, bytes);
  closeSync(file);
  return bytes;
}

/** Random, so that neither compression nor deduplication makes it small. */
function makeReal(path: string, bytes: number): number {
  const file = openSync(path, "w");
  for (let at = 0; at < bytes; at += MIB) writeSync(file, randomBytes(Math.min(MIB, bytes - at)));
  closeSync(file);
  return bytes;
}

interface Row {
  readonly what: string;
  readonly gigabytes: number;
  readonly snapshotMs: number;
  readonly restoreMs: number;
  readonly ownerPeakBytes: number;
  readonly holderPeakBytes: number;
  readonly equal: boolean;
  /** On disk, before and after. */
  readonly allocatedBytes: readonly [number, number];
}

async function measure(
  what: string,
  gigabytes: number,
  make: (path: string, bytes: number) => number,
): Promise<Row> {
  const capacity = `${Math.ceil(2 * gigabytes) + 4}GiB`;
  const swarm = await DaemonSwarm.start({ sites: SITES, capacity: () => capacity });
  try {
    const owner = swarm.node(0);
    const source = join(swarm.directory, "source");
    mkdirSync(source);
    const path = join(source, "large");
    make(path, Math.round(gigabytes * GB));
    const memory = new PeakMemory();
    memory.note(swarm.nodes, "start");

    const options = { withinMs: PATIENCE_MS };
    const saved = await owner.cliWith(options, "snapshot", source, "--json");
    if (saved.status !== 0) throw new Error(`the snapshot is ${resultOf(saved, snapshotResult).state}`);
    memory.note(swarm.nodes, "snapshot");
    const target = swarm.scratch("target");
    const restored = await owner.cliWith(options, "restore", "latest", "--target", target, "--json");
    if (restored.status !== 0 || !resultOf(restored, restoreResult).verified)
      throw new Error(`the restore ended with ${restored.status}: ${restored.stderr}`);
    memory.note(swarm.nodes, "restore");

    const copy = join(target, path);
    const compared = await run("cmp", [path, copy]);
    const worst = (isOwner: boolean): number =>
      Math.max(
        ...memory.all.filter((peak) => (peak.node === owner.name) === isOwner).map((peak) => peak.bytes),
      );
    const row: Row = {
      what,
      gigabytes,
      snapshotMs: saved.durationMs,
      restoreMs: restored.durationMs,
      ownerPeakBytes: worst(true),
      holderPeakBytes: worst(false),
      equal: compared.status === 0,
      allocatedBytes: [allocated(path), allocated(copy)],
    };
    rmSync(copy);
    return row;
  } catch (error) {
    console.error(swarm.complaints());
    throw error;
  } finally {
    await swarm.dispose();
  }
}

function allocated(path: string): number {
  return statSync(path).blocks * 512;
}

function isMet(row: Row): boolean {
  const [before, after] = row.allocatedBytes;
  const peak = Math.max(row.ownerPeakBytes, row.holderPeakBytes);
  return row.equal && after <= before + MAP_BYTES_MAX && peak <= DAEMON_BYTES_MAX;
}

function printed(row: Row): string {
  const [before, after] = row.allocatedBytes;
  return [
    `${isMet(row) ? " " : "!"} ${row.gigabytes} GB ${row.what}:`,
    `snapshot ${(row.snapshotMs / 1000).toFixed(1)} s, restore ${(row.restoreMs / 1000).toFixed(1)} s,`,
    `owner ${(row.ownerPeakBytes / 1e6).toFixed(0)} MB, worst holder ${(row.holderPeakBytes / 1e6).toFixed(0)} MB`,
    `(<= ${DAEMON_BYTES_MAX / 1e6}), ${row.equal ? "equal" : "DIFFERENT"},`,
    `${(before / MIB).toFixed(1)} MiB on disk before, ${(after / MIB).toFixed(1)} after`,
  ].join(" ");
}

await runWell("cmp", ["--version"]);
const rows: Row[] = [];
for (const [what, gigabytes, make] of [
  ["sparse file", Number(values["sparse-gb"]), makeSparse],
  ["file of random bytes", Number(values["real-gb"]), makeReal],
] as const) {
  const row = await measure(what, gigabytes, make);
  rows.push(row);
  console.log(printed(row));
}
console.log(`load ${loadAverage().toFixed(1)}`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, undefined, 2)}\n`);
process.exitCode = rows.every(isMet) ? 0 : 1;
