import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { reap } from "./reaper.ts";

export const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
export const LAUNCHER = fileURLToPath(new URL("../../bin/cairn", import.meta.url));

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last JSON document on stdout; `undefined` without --json. */
  readonly json: unknown;
  readonly durationMs: number;
}

export interface Running {
  readonly pid: number;
  readonly done: Promise<Ran>;
  readonly isRunning: boolean;
  kill(signal: NodeJS.Signals): void;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** What runs the launcher, such as `setpriv --reuid 65534`. */
  readonly under?: readonly string[];
  /** After so long the run is killed and the test told. @default 120 s */
  readonly withinMs?: number;
}

/** An argument; bytes where it is not text. */
export type Argument = string | Uint8Array;

/** Compiled code is kept between runs: a test starts this program a hundred times. */
const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/nonexistent",
  LANG: "C.UTF-8",
  NODE_COMPILE_CACHE: "/tmp/cairn-test-compile-cache",
};

/** Starts `cairn` with these arguments, through its launcher as a user does. */
export function startCairn(args: readonly Argument[], options: RunOptions = {}): Running {
  const [program, ...argv] = [...(options.under ?? []), ...commandOf(args)];
  const startedMs = performance.now();
  const child = spawn(must(program, "program"), argv, {
    cwd: options.cwd ?? "/",
    env: { ...ENVIRONMENT, ...options.environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  reap(child);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const withinMs = options.withinMs ?? 240_000;
  const done = new Promise<Ran>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`cairn ${shown(args)} took longer than ${withinMs} ms: ${Buffer.concat(stderr)}`));
    }, withinMs);
    child.on("error", reject);
    child.on("close", (status) => {
      clearTimeout(late);
      const text = Buffer.concat(stdout).toString();
      resolve({
        status,
        stdout: text,
        stderr: Buffer.concat(stderr).toString(),
        json: args.includes("--json") ? lastDocument(text) : undefined,
        durationMs: performance.now() - startedMs,
      });
    });
  });
  return {
    pid: must(child.pid, "pid"),
    done,
    get isRunning() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: (signal) => void child.kill(signal),
  };
}

export function cairn(args: readonly Argument[], options: RunOptions = {}): Promise<Ran> {
  return startCairn(args, options).done;
}

/** Node cannot give a child an argument that is not UTF-8; a shell can. */
function commandOf(args: readonly Argument[]): string[] {
  if (args.every((arg) => typeof arg === "string")) return [LAUNCHER, ...args];
  const words = args.map((arg) =>
    typeof arg === "string"
      ? `'${arg.replaceAll("'", "'\\''")}'`
      : `"$(printf '${[...arg].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")}')"`,
  );
  return ["/bin/sh", "-c", `exec '${LAUNCHER}' ${words.join(" ")}`];
}

function shown(args: readonly Argument[]): string {
  return args.map((arg) => (typeof arg === "string" ? arg : Buffer.from(arg).toString())).join(" ");
}

/** The result of a run with --json, by its schema; says what the run said where it is something else. */
export function resultOf<T>(ran: Ran, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(ran.json);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  const why = first === undefined ? "" : ` (${first.path.join(".")}: ${first.message})`;
  throw new Error(`exit ${ran.status}, and not the expected JSON${why}:\n${ran.stdout}${ran.stderr}`);
}

function lastDocument(text: string): unknown {
  const lines = text.trimEnd().split("\n");
  try {
    return JSON.parse(lines.at(-1) ?? "");
  } catch {
    // One document over several lines.
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const failure = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    detail: z.record(z.string(), z.unknown()).optional(),
  }),
});

/** What a run with --json says went wrong; throws when it says nothing of the kind. */
export function errorOf(ran: Ran): z.output<typeof failure>["error"] & { status: number | null } {
  return { ...resultOf(ran, failure).error, status: ran.status };
}
