import { PassThrough, Writable } from "node:stream";
import { AssertionFailure } from "../../src/base/assert.ts";
import { bytePathOf } from "../../src/base/paths.ts";
import type { LocalOperations } from "../../src/cli/local-operations.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import type { World } from "../../src/cli/world.ts";
import type { ControlHandlers } from "../../src/control/api.ts";
import { fakeHandlers } from "./fake-handlers.ts";

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
  /** The home whose daemon was asked. */
  readonly home: string | undefined;
}

export interface RunOptions {
  readonly handlers?: Partial<ControlHandlers>;
  readonly local?: Partial<LocalOperations>;
  readonly environment?: NodeJS.ProcessEnv;
  readonly userId?: number;
  readonly stdin?: string;
  readonly terminal?: boolean;
  /** Gets the way to interrupt. */
  readonly interrupt?: (interrupt: () => void) => void;
  readonly world?: Partial<World>;
}

/** Runs a command line against a daemon that is not there, and gives what it printed. */
export async function runCairn(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const stdout = sink(options.terminal === true);
  const stderr = sink(options.terminal === true);
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? "");
  let home: string | undefined;
  let nowMs = 0;
  const status = await runCommandLine({
    argv,
    environment: options.environment ?? { CAIRN_HOME: "/h" },
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    hostName: "host-1",
    userId: options.userId ?? 1000,
    workingDirectory: () => bytePathOf("/some/dir"),
    monotonicMs: () => (nowMs += 500),
    wallMs: () => Date.UTC(2026, 10, 21, 3, 4),
    daemonOf: (asked) => {
      home = asked;
      return fakeHandlers(options.handlers);
    },
    localOperations: async () => ({ ...noLocalOperations, ...options.local }),
    simulate: async () => 0,
    onInterrupt: (callback) => {
      options.interrupt?.(callback);
      return () => {};
    },
    ...options.world,
  });
  return {
    status,
    stdout: stdout.bytes().toString(),
    stdoutBytes: stdout.bytes(),
    stderr: stderr.bytes().toString(),
    home,
  };
}

function sink(isTTY: boolean) {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream: Object.assign(stream, { isTTY, columns: 80 }), bytes: () => Buffer.concat(chunks) };
}

const unexpected = (): never => {
  throw new AssertionFailure("this command needs no local operation");
};
const noLocalOperations: LocalOperations = {
  initHome: unexpected,
  joinHome: unexpected,
  adoptHome: unexpected,
  completeAdoption: unexpected,
  completeNewHome: unexpected,
  recoverHome: unexpected,
  checkKey: unexpected,
  identityOfHome: unexpected,
  membersOfHome: unexpected,
  keysOfHome: unexpected,
  sealKey: unexpected,
  unsealKey: unexpected,
  splitKey: unexpected,
  combineKey: unexpected,
  newRotation: unexpected,
  keepNewSlot: unexpected,
  checkTrailFile: unexpected,
  exportAdministratorKey: unexpected,
  importAdministratorKey: unexpected,
  runDaemon: unexpected,
};
