import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { bytesNamed } from "../support/named.ts";
import { scratchDirectories } from "../support/scratch.ts";

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const DEMO_MS = 240_000;

const scratch = scratchDirectories();

interface Demo {
  readonly child: ChildProcess;
  readonly temporary: string;
  readonly ended: Promise<{ status: number | null; output: string }>;
  /** Resolves when it has printed that. */
  until(text: string): Promise<void>;
}

function startDemo(source: string, temporary: string): Demo {
  const child = spawn(process.execPath, [join(CHECKOUT, "demo/demo.ts"), source], {
    cwd: "/",
    env: { PATH: process.env["PATH"], HOME: "", TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      output += String(chunk);
      for (const listener of listeners) listener();
    });
  const ended = new Promise<{ status: number | null; output: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
  const until = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      listeners.add(look);
      look();
      ended.then(() => reject(new Error(`it ended without "${text}":\n${output}`)), reject);
    });
  return { child, temporary, ended, until };
}

function source(): string {
  const root = scratch();
  mkdirSync(join(root, "sub"));
  for (let i = 0; i < 20; i++) writeFileSync(join(root, "sub", `file ${i}`), bytesNamed(`${i}`, i * 70_000));
  return root;
}

/** Of this demo alone: its temporary folder's name is random. */
async function untilNoneIsLeft(temporary: string): Promise<void> {
  for (;;) {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    if (!pids.some((pid) => commandLine(pid).includes(`${temporary}/cairn-demo-`))) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

it(
  "holds, leaves nothing behind, and sweeps what a killed one left",
  async () => {
    const temporary = scratch();
    const tree = source();
    const killed = startDemo(tree, temporary);
    await killed.until("1. Make a swarm");
    killed.child.kill("SIGKILL");
    await killed.ended;
    await untilNoneIsLeft(temporary);
    expect(readdirSync(temporary)).toHaveLength(1);

    const whole = startDemo(tree, temporary);
    const { status, output } = await whole.ended;
    expect(output).toMatch(/^Swept what an earlier demo left/);
    expect(output).toMatch(/placed as 3\+3 .*: (safe|full)/);
    expect(output.match(/the demo's own comparison: no difference/g)).toHaveLength(2);
    expect(output.trimEnd().split("\n").at(-1)).toMatch(/^Verdict: held\./);
    expect(status).toBe(0);
    await untilNoneIsLeft(temporary);
    expect(readdirSync(temporary)).toEqual([]);
  },
  DEMO_MS,
);

it(
  "ends with 143 and leaves nothing behind when it is told to stop",
  async () => {
    const temporary = scratch();
    const demo = startDemo(source(), temporary);
    await demo.until("2. Save the source");
    demo.child.kill("SIGTERM");
    const { status, output } = await demo.ended;
    expect(status, output).toBe(143);
    await untilNoneIsLeft(temporary);
    expect(readdirSync(temporary)).toEqual([]);
  },
  DEMO_MS,
);
