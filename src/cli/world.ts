import { type ChildProcess, spawn } from "node:child_process";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Fault } from "../base/fault.ts";
import { type BytePath, bytePath } from "../base/paths.ts";
import { type ControlHandlers, controlClient } from "../control/index.ts";
import { EXIT, type ExitStatus } from "./exit-codes.ts";
import type { LocalOperations } from "./local-operations.ts";
import { rawArguments, workingDirectoryBytes } from "./raw-arguments.ts";

/** All that a command line touches besides files: tests put their own in its place. */
export interface World {
  /** After the program's name; bytes that are not UTF-8 as lone surrogates. */
  readonly argv: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly hostName: string;
  readonly userId: number | undefined;
  workingDirectory(): BytePath;
  monotonicMs(): number;
  wallMs(): number;
  /** The daemon of a home. */
  daemonOf(home: string): ControlHandlers;
  /** Loaded when needed: they bring the whole node with them. */
  localOperations(): Promise<LocalOperations>;
  /** Runs the simulator, a program of its own, with these arguments. */
  simulate(argv: readonly string[]): Promise<ExitStatus>;
  /** Calls back at SIGINT, SIGTERM and SIGHUP until it is told to stop. */
  onInterrupt(callback: () => void): () => void;
}

export function realWorld(): World {
  return {
    argv: rawArguments(),
    environment: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    hostName: hostname(),
    userId: process.getuid?.(),
    workingDirectory: () => bytePath(workingDirectoryBytes()),
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    daemonOf: controlClient,
    localOperations: async () => await import("./runtime.ts"),
    simulate,
    onInterrupt,
  };
}

const SIMULATOR = fileURLToPath(new URL("../../sim/main.ts", import.meta.url));

function simulate(argv: readonly string[]): Promise<ExitStatus> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [SIMULATOR, ...argv], { stdio: "inherit" });
    // It may have processes and networks of its own to take down: who is told to end passes it on, and waits.
    const stopForwarding = forwardSignals(child);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      stopForwarding();
      if (signal !== null || (status ?? 0) > 128) resolve(EXIT.interrupted);
      else resolve(status === 0 || status === 1 || status === 3 ? status : EXIT.usage);
    });
  });
}

function forwardSignals(child: ChildProcess): () => void {
  const stops = (["SIGINT", "SIGTERM", "SIGHUP"] as const).map((signal) => {
    const forward = (): void => void child.kill(signal);
    process.on(signal, forward);
    return () => process.off(signal, forward);
  });
  return () => {
    for (const stop of stops) stop();
  };
}

/** Whoever interrupts twice does not want to wait for a clean end. */
function onInterrupt(callback: () => void): () => void {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  let interrupted = false;
  const interrupt = (): void => {
    if (interrupted) process.exit(EXIT.interrupted);
    interrupted = true;
    callback();
  };
  for (const signal of signals) process.on(signal, interrupt);
  return () => {
    for (const signal of signals) process.off(signal, interrupt);
  };
}

/** `--home`, else CAIRN_HOME, else /var/lib/cairn for root and the user's data directory for anybody else. */
export function homeOf(given: string | undefined, world: World): string {
  const { environment } = world;
  const named = given ?? environment["CAIRN_HOME"];
  if (named !== undefined && named !== "") return absoluteHome(named);
  if (world.userId === 0) return "/var/lib/cairn";
  // The XDG specification says to ignore what is not absolute.
  const data = environment["XDG_DATA_HOME"];
  if (data?.startsWith("/")) return `${data}/cairn`;
  const user = environment["HOME"];
  if (user !== undefined && user !== "") return `${user}/.local/share/cairn`;
  const reason = "No home directory is known: give --home DIR or set CAIRN_HOME.";
  throw new Fault({ code: "USAGE", reason });
}

function absoluteHome(named: string): string {
  if (/[\udc80-\udcff\ufffd]/u.test(named))
    throw new Fault({ code: "USAGE", reason: "The name of a home directory must be UTF-8." });
  return resolve(named);
}
