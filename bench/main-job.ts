/**
 * The job that this program is for, in figures: nine daemons at three sites on this machine; one of them saves a copy of
 * /usr/share and /usr/lib/x86_64-linux-gnu, saves it again with nothing changed, restores it with all peers up and with m
 * of them killed, restores one small file, burns down, and comes back on an empty home. Beside it restic does the same
 * to a local directory. Exits with 1 when a figure misses its goal.
 *
 * Times mean something only as ratios, and only while the machine does nothing else: the load is printed with them.
 *
 *   node bench/main-job.ts [--corpus DIR] [--json FILE]
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { printed, report } from "./main-job/goals.ts";
import { measure } from "./main-job/job.ts";

const { values } = parseArgs({ options: { corpus: { type: "string" }, json: { type: "string" } } });

const corpus = values.corpus === undefined ? undefined : resolve(values.corpus);
const figures = await measure(corpus, (line) => console.error(line));
const lines = report(figures);

const { k, m } = figures.profile;
console.log(
  `\n${figures.corpus.files} files, ${(figures.corpus.bytes / 2 ** 30).toFixed(2)} GiB; profile ${k}+${m}; ` +
    `${availableParallelism()} cores, load ${figures.loadAtStart.toFixed(1)} before, ${figures.loadAtEnd.toFixed(1)} after\n`,
);
console.log(printed(lines));
for (const difference of figures.differences.slice(0, 20)) console.log(`  ${difference}`);
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ figures, lines }, undefined, 2)}\n`);
process.exitCode = lines.every((line) => line.met) ? 0 : 1;
