import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";

const LEASH = fileURLToPath(new URL("./leash.sh", import.meta.url));
/** More than any command of the demo prints; beyond it the command is broken. */
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;
/** A killed process is gone within milliseconds, unless its disk hangs. */
const END_MS = 10_000;

export interface Finished {
  /** 128 + signal for a command that was killed. */
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The demo was told to stop: whatever is under way ends with this. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/**
 * Every process the demo starts, each on a leash: it ends when the demo does, even by kill -9. Each is the leader of
 * a session of its own, so that Ctrl-C in a terminal reaches the demo only, which then ends the others in order.
 */
export class Processes {
  readonly #running = new Map<ChildProcess, Promise<number>>();
  #stopped = false;

  /** Runs to the end and gives back what was printed. Throws when the program is not there, and `Stopped`. */
  async run(command: readonly string[], environment: NodeJS.ProcessEnv): Promise<Finished> {
    const child = this.#spawn(command, environment, "pipe", "pipe");
    const stdout: Buffer[] = [];
    let bytes = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= OUTPUT_BYTES_MAX) stdout.push(chunk);
    });
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      if (stderr.length < OUTPUT_BYTES_MAX) stderr += chunk.toString();
    });
    const status = await this.#ended(child);
    if (this.#stopped) throw new Stopped();
    if (bytes > OUTPUT_BYTES_MAX) throw new Error(`${command[0]} printed more than the demo can take`);
    return { status, stdout: Buffer.concat(stdout), stderr };
  }

  /** Starts what runs until it is stopped, writing into `logFile`. */
  start(command: readonly string[], environment: NodeJS.ProcessEnv, logFile: string): Running {
    const log = openSync(logFile, "a", 0o600);
    try {
      const child = this.#spawn(command, environment, log, log);
      const ended = this.#ended(child);
      return { ended, end: () => void child.stdin?.end() };
    } finally {
      closeSync(log);
    }
  }

  /** Ends everything; nothing can be started any more. Resolves when all are gone, or after a bounded wait. */
  async endAll(): Promise<void> {
    this.#stopped = true;
    const ended = [...this.#running.values()];
    for (const child of this.#running.keys()) child.stdin?.end();
    if ((await within(Promise.all(ended), END_MS)) === "late") {
      for (const { pid } of this.#running.keys()) if (pid !== undefined) kill(-pid);
      await within(Promise.all(ended), END_MS);
    }
  }

  #spawn(
    command: readonly string[],
    env: NodeJS.ProcessEnv,
    stdout: "pipe" | number,
    stderr: "pipe" | number,
  ): ChildProcess {
    if (this.#stopped) throw new Stopped();
    const child = spawn("/bin/sh", [LEASH, ...command], {
      env,
      detached: true,
      stdio: ["pipe", stdout, stderr],
    });
    child.stdin?.on("error", () => {}); // the leash was gone before we let go of it
    const ended = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 128));
    });
    this.#running.set(child, ended);
    const forget = (): void => void this.#running.delete(child);
    ended.then(forget, forget);
    return child;
  }

  #ended(child: ChildProcess): Promise<number> {
    const ended = this.#running.get(child);
    if (ended === undefined) throw new Error("a process that was not started here");
    return ended;
  }
}

export interface Running {
  /** The exit status; 128 + signal for one that was killed. */
  readonly ended: Promise<number>;
  /** Lets go of the leash, which kills it. */
  end(): void;
}

/** SIGKILL, to a process that may be gone already. A negative number is a process group. */
export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function within(work: Promise<unknown>, timeMs: number): Promise<"done" | "late"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(resolve, timeMs, "late");
  });
  const settled = work.then(
    () => "done" as const,
    () => "done" as const,
  );
  const outcome = await Promise.race([settled, late]);
  clearTimeout(timer);
  return outcome;
}
