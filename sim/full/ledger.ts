import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import type { RunResult } from "./run.ts";

/**
 * What was ever run: each run is a line of a record, written when it ends, so that a campaign that is killed has counted;
 * `cairn sim ledger` folds records into the ledger that is kept with the source, and writes it as a page.
 */

const line = z
  .object({
    commit: z.string(),
    seed: z.string(),
    failed: z.boolean(),
    cpuMs: z.number(),
    events: z.number(),
    nodeMs: z.number(),
    labels: z.record(z.string(), z.number()),
  })
  .strict();
type Line = z.output<typeof line>;

const ofCommit = z
  .object({
    /** Runs of numbered seeds, first and last; others by name. */
    ranges: z.array(z.tuple([z.int(), z.int()])),
    named: z.array(z.string()),
    failed: z.array(z.string()),
    cpuHours: z.number(),
    events: z.number(),
    nodeYears: z.number(),
  })
  .strict();
type OfCommit = z.output<typeof ofCommit>;

const ledgerFile = z
  .object({
    v: z.literal(1),
    /** In the order in which they were added. */
    commits: z.record(z.string(), ofCommit),
    labels: z.record(z.string(), z.number()),
  })
  .strict();
type Ledger = z.output<typeof ledgerFile>;

const YEAR_MS = 365.25 * DAY_MS;

/** One run, as a line of this record. */
export function recordRun(file: string, commit: string, run: RunResult, cpuMs: number): void {
  const { plan, events, virtualMs, labels, violations } = run;
  const entry: Line = {
    commit,
    seed: plan.seed,
    failed: violations.length > 0,
    cpuMs: Math.round(cpuMs),
    events,
    nodeMs: Math.round(virtualMs * plan.world.nodes.length),
    labels: Object.fromEntries([...labels].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  appendFileSync(file, `${JSON.stringify(entry)}\n`);
}

/** Adds records to the ledger, and writes the page. A seed counts once for a commit; returns how many are new. */
export function foldRecords(records: readonly string[], ledgerPath: string, pagePath: string): number {
  const ledger: Ledger = existsSync(ledgerPath)
    ? ledgerFile.parse(JSON.parse(readFileSync(ledgerPath, "utf8")))
    : { v: 1, commits: {}, labels: {} };
  let added = 0;
  for (const file of records)
    for (const text of readFileSync(file, "utf8").split("\n"))
      if (text !== "" && addLine(ledger, line.parse(JSON.parse(text)))) added++;
  const labels = Object.entries(ledger.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(ledgerPath, `${JSON.stringify({ ...ledger, labels: Object.fromEntries(labels) })}\n`);
  writeFileSync(pagePath, pageOf(ledger));
  return added;
}

function addLine(ledger: Ledger, run: Line): boolean {
  // What was run is not what anybody could run again.
  if (run.commit.includes(" ") || run.commit === "unknown") return false;
  const none = { ranges: [], named: [], failed: [], cpuHours: 0, events: 0, nodeYears: 0 };
  const of: OfCommit = ledger.commits[run.commit] ?? none;
  if (!addSeed(of, run.seed)) return false;
  ledger.commits[run.commit] = of;
  if (run.failed) of.failed.push(run.seed);
  of.cpuHours += run.cpuMs / HOUR_MS;
  of.events += run.events;
  of.nodeYears += run.nodeMs / YEAR_MS;
  for (const [label, times] of Object.entries(run.labels))
    ledger.labels[label] = (ledger.labels[label] ?? 0) + times;
  return true;
}

function addSeed(of: OfCommit, seed: string): boolean {
  if (!/^\d{1,15}$/.test(seed)) {
    if (of.named.includes(seed)) return false;
    of.named.push(seed);
    return true;
  }
  const number = Number(seed);
  if (of.ranges.some(([from, to]) => from <= number && number <= to)) return false;
  const all = [...of.ranges, [number, number] as [number, number]].sort(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [from, to] of all) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  of.ranges = merged;
  return true;
}

function seedsOf({ ranges, named }: OfCommit): number {
  return named.length + ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

function pageOf({ commits, labels }: Ledger): string {
  const all = Object.entries(commits);
  const sum = (value: (of: OfCommit) => number): number => all.reduce((so, [, of]) => so + value(of), 0);
  const rows = all.map(
    ([commit, of]) =>
      `| ${commit} | ${seedsOf(of)} | ${of.failed.length === 0 ? "none" : of.failed.join(", ")} | ${of.cpuHours.toFixed(2)} | ${of.events} | ${of.nodeYears.toFixed(2)} |`,
  );
  const counted = (is: (label: string) => boolean): string =>
    Object.entries(labels)
      .filter(([label]) => is(label))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, times]) => `| ${label} | ${times} |`)
      .join("\n");
  const isFault = (label: string): boolean => label.startsWith("fault ");
  const isLeftOut = (label: string): boolean => label.startsWith("left out ");
  return `# What the simulator has run

Written by \`cairn sim ledger RECORD...\` from what \`cairn sim run --record RECORD\` noted; not by hand. A seed counts
once for a commit. Seeds that broke a rule are named; what they found is in \`test/sim/regressions/\` and the history.

In all: ${sum(seedsOf)} seeds, ${sum((of) => of.failed.length)} of them broke a rule, ${sum((of) => of.cpuHours).toFixed(1)} hours of
processor time, ${sum((of) => of.events)} events, ${sum((of) => of.nodeYears).toFixed(1)} node-years.

| commit | seeds | broke a rule | CPU hours | events | node-years |
|---|---|---|---|---|---|
${rows.join("\n")}

## Faults that came about

| fault | times |
|---|---|
${counted(isFault)}

Left out because they would have gone beyond what the profile promises, or found nothing to happen to:

| fault | times |
|---|---|
${counted(isLeftOut)}

## What else came up

| label | times |
|---|---|
${counted((label) => !isFault(label) && !isLeftOut(label))}
`;
}
