import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { z } from "zod";
import { probeLab } from "../../sim/daemons/lab.ts";
import { readPlan } from "../../sim/full/plan.ts";
import { CHECKOUT, resultOf, startCairn } from "../support/cli.ts";
import { eventually } from "../support/daemons.ts";
import { reap } from "../support/reaper.ts";

const abilities = probeLab();
const whyNot = "whyNot" in abilities ? abilities.whyNot : undefined;
if (whyNot !== undefined) console.log(`skipped, for there can be no network namespaces here: ${whyNot}`);

const SMOKE = join(CHECKOUT, "test/sim/daemons/smoke.json");
const report = z.object({
  ok: z.boolean(),
  runs: z
    .array(
      z.object({
        violations: z.array(z.object({ oracle: z.string(), message: z.string() })),
        labels: z.record(z.string(), z.number()),
      }),
    )
    .length(1),
});

/** What a run has in the kernel, by the names of its namespaces. */
function namespacesOf(pattern: RegExp): string[] {
  return spawnSync("ip", ["netns", "list"], { encoding: "utf8" })
    .stdout.split("\n")
    .filter((name) => pattern.test(name));
}

it.skipIf(whyNot !== undefined)(
  "real daemons go through cuts, kill -9, stops, a full disk and rot, and nothing wrong is said or lost",
  async () => {
    const ran = await startCairn(["sim", "run", "--layer", "daemons", SMOKE, "--json"], {
      withinMs: 1_700_000,
    }).done;
    const { ok, runs } = resultOf(ran, report);
    const [run] = runs;
    expect(run?.violations).toEqual([]);
    expect({ ok, status: ran.status }).toEqual({ ok: true, status: 0 });
    // Each was brought about, or left out as too much for what the disks had by then; none was forgotten.
    for (const { kind } of readPlan(readFileSync(SMOKE, "utf8")).faults)
      expect(Object.keys(run?.labels ?? {})).toContainEqual(
        expect.stringMatching(`^(fault|left out) ${kind}$`),
      );
    expect(run?.labels["fault cut"]).toBe(1);
    expect(run?.labels["a restore after the storm"] ?? 0).toBeGreaterThan(0);
  },
  1_800_000,
);

it.skipIf(whyNot !== undefined)(
  "who ends a run, in whatever way, leaves no process, no network and no disk behind",
  async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const args = [
        join(CHECKOUT, "sim/main.ts"),
        "run",
        "--layer",
        "daemons",
        "--seed",
        "1",
        "--nodes",
        "2",
      ];
      const running = spawn(process.execPath, args, { stdio: "ignore" });
      reap(running);
      const pattern = new RegExp(`^cairn-sim-${running.pid}\\.`);
      await eventually("a node has a network", () => namespacesOf(pattern).length > 2, { withinMs: 120_000 });
      const [name = ""] = namespacesOf(pattern);
      const directory = join(tmpdir(), name.slice(0, name.lastIndexOf("-")));
      expect(existsSync(directory)).toBe(true);
      const ended = once(running, "exit");
      running.kill(signal);
      await ended;
      await eventually("nothing is left", () => namespacesOf(pattern).length === 0 && !existsSync(directory));
      expect(readFileSync("/proc/mounts", "utf8")).not.toContain(directory);
    }
  },
  300_000,
);
