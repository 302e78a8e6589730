import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { Fault } from "../base/fault.ts";
import { SECOND_MS } from "../base/units.ts";

/** Of what a command says on standard error, the end is kept: that is where it says why it gave up. */
const STDERR_KEPT_BYTES = 4096;
/** Between asking a command to stop and making it. */
const KILL_GRACE_MS = 5 * SECOND_MS;

export interface CommandOutcome {
  readonly bytes: number;
  /** The end of what it said on standard error. */
  readonly stderr: string;
}

/**
 * A command's standard output, which ends only after the command has ended well: whoever saves it never takes half a
 * dump for a whole one. Throws COMMAND_FAILED where it could not be started, exited with another status than 0, was
 * ended by a signal or took too long. Leaving it early stops the command.
 */
export class CommandSource {
  readonly #argv: readonly string[];
  readonly #timeoutMs: number | undefined;
  #stderr = Buffer.alloc(0);
  #bytes = 0;

  constructor(argv: readonly string[], options: { timeoutMs?: number } = {}) {
    this.#argv = argv;
    this.#timeoutMs = options.timeoutMs;
  }

  get outcome(): CommandOutcome {
    return { bytes: this.#bytes, stderr: this.#stderr.toString("utf8").trimEnd() };
  }

  async *output(): AsyncGenerator<Uint8Array, void, void> {
    const [program = "", ...rest] = this.#argv;
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    child.stderr.on("data", (data: Buffer) => this.#keep(data));
    const end = ended(child);
    let timedOut = false;
    const timer =
      this.#timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            stop(child);
          }, this.#timeoutMs);
    let left = true;
    try {
      for await (const part of child.stdout) {
        const bytes: Uint8Array = part;
        this.#bytes += bytes.length;
        yield bytes;
      }
      left = false;
    } catch (error) {
      if (!timedOut) throw error;
      left = false;
    } finally {
      if (left) stop(child);
      const how = await end;
      clearTimeout(timer);
      if (!left) this.#check(how, timedOut);
    }
  }

  #check(how: Ended, timedOut: boolean): void {
    const { stderr } = this.outcome;
    const command = this.#argv.join(" ").slice(0, 512);
    const failed = (reason: string): Fault => new Fault({ code: "COMMAND_FAILED", command, reason, stderr });
    if ("error" in how) throw failed(`it could not be started: ${how.error.message}`);
    if (timedOut) throw failed(`it took longer than ${this.#timeoutMs} ms`);
    if (how.signal !== null) throw failed(`it was ended by ${how.signal}`);
    if (how.status !== 0) throw failed(`it exited with status ${how.status}`);
  }

  #keep(data: Buffer): void {
    this.#stderr = Buffer.concat([this.#stderr, data]).subarray(-STDERR_KEPT_BYTES);
  }
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

type Ended =
  | { readonly error: Error }
  | { readonly status: number | null; readonly signal: NodeJS.Signals | null };

function ended(child: Child): Promise<Ended> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ error }));
    // Not "exit": what is still in the pipes counts.
    child.once("close", (status, signal) => resolve({ status, signal }));
  });
}

/** With everything that it has started: it runs in a process group of its own. */
function stop(child: Child): void {
  signal(child, "SIGTERM");
  const timer = setTimeout(() => {
    signal(child, "SIGKILL");
    child.stdout.destroy();
    child.stderr.destroy();
  }, KILL_GRACE_MS);
  child.once("close", () => clearTimeout(timer));
}

function signal(child: Child, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // All of them have ended.
  }
}
