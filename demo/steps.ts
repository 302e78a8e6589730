import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { must } from "../src/base/assert.ts";
import { formatBytes } from "../src/base/units.ts";
import { counted, survivesText, table } from "../src/cli/text.ts";
import {
  peerInfo,
  type RestoreResult,
  restoreResult,
  type SnapshotResult,
  snapshotResult,
} from "../src/control/results.ts";
import { type CheckInit, checkRestored } from "./check.ts";
import type { DemoNode } from "./node.ts";
import type { Report, Step } from "./report.ts";
import type { DemoSwarm, Holding } from "./swarm.ts";
import { shownPath } from "./tree.ts";

/** What a swarm of 3 + 3 + 3 nodes gets by itself: 8 holders at sites of 2, 3 and 3, at most 2 shards of 6 at one. */
const PROFILE_EXPECTED = "3+3";
const PROBLEMS_SHOWN_MAX = 10;

const recovered = z.object({
  members: z.object({ asked: z.int(), answered: z.int() }),
  snapshots: z.int(),
  warnings: z.array(z.string()),
  bytesFetched: z.int(),
});

export async function foundSwarm(step: Step, report: Report, swarm: DemoSwarm): Promise<void> {
  await swarm.found();
  const { owner, nodes, sites } = swarm;
  report.say(`The files' owner is ${owner.name}; its recovery key is written down in ${swarm.keyFile}.`);
  step.what = `${nodes.length} nodes at ${counted(sites.length, "site")}, each a process with a home and a port of its own`;
}

export async function takeSnapshot(
  step: Step,
  report: Report,
  swarm: DemoSwarm,
  roots: readonly string[],
): Promise<SnapshotResult> {
  const command = ["snapshot", "--", ...roots.map(shownPath)];
  const { value: made } = await swarm.owner.ask(command, snapshotResult, [0, 3, 4]);
  step.bytesMoved = made.bytesStored;
  step.what =
    `${counted(made.files, "file")}, ${formatBytes(made.bytesRead)} read, ` +
    `${formatBytes(made.bytesStored)} placed as ${made.profile} in ${counted(made.segments, "segment")}: ${made.state}`;
  for (const note of made.notes) report.say(note);
  const vanished = made.unreadable.filter(({ errno }) => errno === "ENOENT").length;
  const unreadable = made.unreadableCount - vanished;
  if (vanished > 0) report.say(`${counted(vanished, "path")} vanished while the snapshot was taken.`);
  if (unreadable > 0) report.omit(`${counted(unreadable, "path")} that could not be read`);
  for (const { path, reason } of made.skipped)
    report.say(`Left out by rule: ${JSON.stringify(path)} (${reason})`);
  if (made.profile !== PROFILE_EXPECTED)
    report.say(
      `Not as expected: the profile is ${made.profile}, and this swarm should get ${PROFILE_EXPECTED}.`,
    );
  if (made.state !== "safe" && made.state !== "full") report.fail(`the snapshot is ${made.state}, not safe`);
  return made;
}

/** Shards and bytes of each node and each site, and what may be lost. */
export async function showShards(
  step: Step,
  report: Report,
  swarm: DemoSwarm,
  { survives }: SnapshotResult,
): Promise<readonly Holding[]> {
  const holdings = await swarm.holdings();
  const rows = swarm.sites.flatMap((site) => {
    const here = holdings.filter(({ node }) => node.site === site);
    const cells = here.map(({ node, shards, bytes }) => [
      node.name,
      site,
      String(shards),
      formatBytes(bytes),
    ]);
    const owner = swarm.owner.site === site ? [[swarm.owner.name, site, "owner", "-"]] : [];
    return [
      ...owner,
      ...cells,
      ["", `all of ${site}`, String(sum(here, "shards")), formatBytes(sum(here, "bytes"))],
    ];
  });
  report.say(table(["NODE", "SITE", "SHARDS", "BYTES"], rows, ["SHARDS", "BYTES"]));
  if (survives.sites < 1) report.fail("the loss of a site is not survived");
  report.say("All nine daemons run on this one machine, whose loss nothing here would survive.");
  step.what = `${sum(holdings, "shards")} shards; survives ${survivesText(survives)}`;
  return holdings;
}

/** kill -9 of every node at the site that holds most. */
export async function killSite(
  step: Step,
  report: Report,
  swarm: DemoSwarm,
  holdings: readonly Holding[],
): Promise<void> {
  const shardsAt = (site: string): number =>
    sum(
      holdings.filter(({ node }) => node.site === site),
      "shards",
    );
  const others = swarm.sites.filter((site) => site !== swarm.owner.site);
  const site = must(others.sort((a, b) => shardsAt(b) - shardsAt(a))[0], "a site without the owner");
  const nodes = swarm.holders.filter((node) => node.site === site);
  const pids = await Promise.all(nodes.map((node) => node.kill()));
  report.say(`kill -9 ${pids.join(" ")}: ${nodes.map(({ name }) => name).join(", ")}`);
  const lost = shardsAt(site);
  step.what = `site ${site} is gone, with ${nodes.length} nodes and ${counted(lost, "shard")} of ${sum(holdings, "shards")}`;
}

/** Restores the newest snapshot into an empty folder and compares it with the source. */
export async function restoreAndCompare(
  step: Step,
  report: Report,
  node: DemoNode,
  check: Omit<CheckInit, "report">,
): Promise<void> {
  const command = ["restore", "latest", "--target", shownPath(check.target)];
  const { status, value: restored } = await node.ask(command, restoreResult, [0, 3]);
  step.bytesMoved = restored.bytesFetched;
  report.say(
    `${counted(restored.files, "file")}, ${formatBytes(restored.bytes)} restored in ${(restored.durationMs / 1000).toFixed(1)} s`,
  );
  const omitted = new Set(check.omitted);
  if (status !== 0) for (const path of reportProblems(report, restored)) omitted.add(path);
  if (!restored.verified) report.fail("the restore did not verify every byte");
  step.what = await checkRestored({ ...check, omitted, report });
}

/** Says what the restore could not give back. Returns the paths of which no more could be asked: only root may. */
function reportProblems(report: Report, { problems, problemCount }: RestoreResult): string[] {
  const forRoot = problems.filter(({ reason }) => process.getuid?.() !== 0 && reason.includes("EPERM"));
  report.say(
    problems
      .slice(0, PROBLEMS_SHOWN_MAX)
      .map(({ path, what, reason }) => `${path}: ${what} (${reason})`)
      .join("\n"),
  );
  if (forRoot.length > 0) report.omit(`${counted(forRoot.length, "thing")} that only root may restore`);
  if (forRoot.length < problemCount)
    report.fail(`${counted(problemCount - forRoot.length, "thing")} could not be restored`);
  return forRoot.map(({ pathBase64 }) => Buffer.from(pathBase64, "base64").toString("latin1"));
}

/** The owner's machine burns down: process, home and all. The first restored tree burns with it. */
export async function burnOwner(
  step: Step,
  report: Report,
  swarm: DemoSwarm,
  restored: string,
): Promise<void> {
  const { owner } = swarm;
  await owner.burn();
  rmSync(restored, { recursive: true, force: true });
  report.say(`kill -9 of ${owner.name}, and its home ${owner.home} is deleted.`);
  step.what = `the owner's machine is gone; what is left is the recovery key and ${swarm.holders.filter((node) => node.isRunning).length} nodes`;
}

/** An empty machine, the recovery key, and one address. */
export async function recoverOwner(step: Step, report: Report, swarm: DemoSwarm): Promise<DemoNode> {
  const machine = swarm.machine(`${swarm.owner.name}-new`, swarm.owner.site);
  // The one of which least is needed: what comes back comes from the swarm, not from the peer that was named.
  const [first] = (await swarm.holdings()).sort((a, b) => a.shards - b.shards);
  const { node: peer, shards } = must(first, "a surviving node");
  report.say(
    `The one address given is ${peer.address} of ${peer.name}, which holds ${counted(shards, "shard")}.`,
  );
  const command = ["recover", "--recovery-key", swarm.keyFile, "--peer", peer.address];
  const found = await machine.make(command, recovered);
  for (const warning of found.warnings) report.say(`Warning: ${warning}`);
  if (found.snapshots !== 1) report.fail(`${counted(found.snapshots, "snapshot")} found instead of 1`);
  await machine.start();
  const peers = (await machine.ask(["peers"], z.array(peerInfo))).value;
  step.bytesMoved = found.bytesFetched;
  step.what =
    `${found.members.answered} of ${counted(found.members.asked, "member")} answered, ` +
    `${counted(found.snapshots, "snapshot")} found; the new daemon knows ${counted(peers.length, "node")}`;
  return machine;
}

/** Where the restored trees go. */
export const targetsIn = (folder: string): readonly [string, string] => {
  const latin1 = Buffer.from(folder).toString("latin1");
  return [join(latin1, "restored-1"), join(latin1, "restored-2")];
};

function sum(holdings: readonly Holding[], field: "shards" | "bytes"): number {
  return holdings.reduce((total, holding) => total + holding[field], 0);
}
