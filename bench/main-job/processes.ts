import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { must } from "../../src/base/assert.ts";
import { KIB } from "../../src/base/units.ts";
import type { TestNode } from "../../test/support/daemons.ts";

/** Bytes of memory that a process has had at most since it began or since `forgetPeak`; Linux only. */
export function peakBytes(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(must(line?.[1], "VmHWM of a process")) * KIB;
}

/** From now on the peak is counted anew. */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** The machine's load over the last minute: figures of a busy machine say little. */
export function loadAverage(): number {
  return Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]);
}

/** The most memory that each daemon had, by what was going on. A daemon's peak ends with its process: ask before. */
export class PeakMemory {
  readonly #peaks = new Map<string, { node: string; during: string; bytes: number }>();

  /** `during`: what has been going on since the last call. */
  note(nodes: readonly TestNode[], during: string): void {
    for (const node of nodes) {
      if (!node.isRunning) continue;
      const bytes = peakBytes(node.pid);
      const known = this.#peaks.get(`${node.name} ${during}`);
      if (bytes > (known?.bytes ?? 0))
        this.#peaks.set(`${node.name} ${during}`, { node: node.name, during, bytes });
      forgetPeak(node.pid);
    }
  }

  get all(): { node: string; during: string; bytes: number }[] {
    return [...this.#peaks.values()].sort((a, b) => b.bytes - a.bytes);
  }
}

export interface Finished {
  readonly status: number | null;
  readonly durationMs: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Throws where there is no such program. */
export function run(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const beginMs = performance.now();
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => (stdout += String(chunk)));
    child.stderr.on("data", (chunk) => (stderr += String(chunk)));
    child.on("error", reject);
    child.on("close", (status) =>
      resolve({ status, durationMs: performance.now() - beginMs, stdout, stderr }),
    );
  });
}

/** As `run`; throws with what was said unless the program ends well. */
export async function runWell(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const done = await run(program, args, environment);
  if (done.status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${done.status}:\n${done.stderr}${done.stdout}`);
  return done;
}
