import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/cairn", import.meta.url));
/** More than any command of a run prints. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export interface Ran {
  /** `undefined` where it was killed, or took longer than it may. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly isLate: boolean;
}

export type Environment = Readonly<Record<string, string>>;

/** Starts `cairn` on a machine of the lab, as its operator would. */
export function spawnCairn(
  inside: readonly string[],
  args: readonly string[],
  environment: Environment,
): ChildProcess {
  const [program, ...argv] = [...inside, LAUNCHER, ...args];
  return spawn(must(program, "program"), argv, {
    cwd: "/",
    env: {
      PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: "/nonexistent",
      LANG: "C.UTF-8",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Waits for the end of a command; one that takes longer than it may is killed. */
export function finished(child: ChildProcess, withinMs: number): Promise<Ran> {
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name]?.on("data", (chunk) => {
      if (said[name].length < OUTPUT_BYTES_MAX) said[name] += String(chunk);
    });
  return new Promise((resolve, reject) => {
    let isLate = false;
    const late = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, withinMs);
    child.on("error", reject);
    child.on("close", (status) => {
      clearTimeout(late);
      resolve({ status: isLate ? undefined : (status ?? undefined), ...said, isLate });
    });
  });
}

/** The last line that a command with --json printed, or all of it. */
export function documentOf(text: string): unknown {
  for (const candidate of [text.trimEnd().split("\n").at(-1) ?? "", text]) {
    try {
      return JSON.parse(candidate);
    } catch {
      // The other way of printing it.
    }
  }
  return undefined;
}

const failure = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** A command ended without what it is for. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  readonly code: string | undefined;
  readonly ran: Ran;

  constructor(args: readonly string[], ran: Ran) {
    const said = failure.safeParse(documentOf(ran.stdout));
    const why = said.success ? `${said.data.error.code}: ${said.data.error.message}` : ran.stderr.trim();
    const how = ran.isLate ? "took too long" : `ended with ${ran.status ?? "a signal"}`;
    super(`"cairn ${args.slice(0, 3).join(" ")}" ${how}${why === "" ? "" : `: ${why.slice(0, 600)}`}`);
    this.code = said.success ? said.data.error.code : undefined;
    this.ran = ran;
  }
}
