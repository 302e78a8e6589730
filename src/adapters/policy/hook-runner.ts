import { type ChildProcess, spawn } from "node:child_process";
import { SECOND_MS } from "../../base/units.ts";
import type { HookEnd, HookRequest, HookRunner } from "../../ports/index.ts";

const SAID_BYTES_MAX = 4096;
/** Between asking a command to stop and making it. */
const KILL_GRACE_MS = 5 * SECOND_MS;

export function createHookRunner(): HookRunner {
  return { run };
}

function run({ argv, timeLimitMs, environment, signal }: HookRequest): Promise<HookEnd> {
  const [program = "", ...rest] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, rest, {
      cwd: "/",
      env: { ...process.env, ...environment },
      stdio: ["ignore", "ignore", "pipe"],
      // A group of its own, so that what it started ends with it.
      detached: true,
    });
    let said = Buffer.alloc(0);
    let cut: string | undefined;
    let killer: NodeJS.Timeout | undefined;
    child.stderr.on("data", (data: Buffer) => {
      said = Buffer.concat([said, data]).subarray(-SAID_BYTES_MAX);
    });
    const stop = (why: string): void => {
      cut ??= why;
      killAll(child, "SIGTERM");
      killer ??= setTimeout(() => {
        killAll(child, "SIGKILL");
        // Whatever left the group may hold the pipe open for ever.
        child.stderr.destroy();
      }, KILL_GRACE_MS);
    };
    const onAbort = (): void => stop("the daemon was told to stop");
    const limit = setTimeout(() => stop(`it took longer than ${timeLimitMs} ms`), timeLimitMs);
    const end = (reason: string | undefined): void => {
      clearTimeout(limit);
      clearTimeout(killer);
      signal.removeEventListener("abort", onAbort);
      resolve(
        reason === undefined ? { ok: true } : { ok: false, reason, said: said.toString("utf8").trimEnd() },
      );
    };
    child.once("error", (error) => end(`it could not be started: ${error.message}`));
    child.once("close", (status, ended) => {
      if (cut !== undefined) end(cut);
      else if (ended !== null) end(`it was ended by ${ended}`);
      else end(status === 0 ? undefined : `it exited with status ${status}`);
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

function killAll(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // All of them have ended.
  }
}
