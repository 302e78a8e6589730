import { existsSync, openSync, writeSync } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { Level } from "level";

// Preloaded into a program under test (`NODE_OPTIONS=--import`): counts what changes a disk for good, and kills the process
// right before the step whose number `CRASH_AT` says. What was passed is written to `CRASH_LOG`.

const { CRASH_AT, CRASH_LOG } = process.env;
const crashAt = CRASH_AT === undefined ? Number.POSITIVE_INFINITY : Number(CRASH_AT);
const log = CRASH_LOG === undefined ? undefined : openSync(CRASH_LOG, "w");
let step = 0;

function passing(name: string): void {
  if (++step === crashAt) process.kill(process.pid, "SIGKILL");
  if (log !== undefined) writeSync(log, `${step} ${name}\n`);
}

const require = createRequire(import.meta.url);
const fs: Record<string, unknown> = require("node:fs");
const promises: Record<string, unknown> = require("node:fs/promises");

function watch(
  owner: Record<string, unknown>,
  names: readonly string[],
  counts: (path: string) => boolean = () => true,
): void {
  for (const name of names) {
    const original = owner[name];
    if (typeof original !== "function") throw new Error(`there is no ${name}`);
    owner[name] = function watched(this: unknown, ...args: unknown[]): unknown {
      if (counts(String(args[0]))) passing(`${name} ${String(args[0])}`);
      return Reflect.apply(original, this, args);
    };
  }
}

watch(fs, ["renameSync", "writeFileSync", "fsyncSync"]);
watch(
  fs,
  ["rmSync"],
  (path) => /\/(joining|adopting|adopted|administrator\.key)$/.test(path) && existsSync(path),
);
watch(promises, ["rename"]);

const open = promises["open"];
if (typeof open !== "function") throw new Error("there is no open");
promises["open"] = async (...args: unknown[]): Promise<unknown> => {
  if (typeof args[1] === "string" && args[1] !== "r") passing(`create ${String(args[0])}`);
  return Reflect.apply(open, promises, args);
};

const batch = Level.prototype.batch;
Object.defineProperty(Level.prototype, "batch", {
  configurable: true,
  writable: true,
  value(this: unknown, ...args: unknown[]): unknown {
    passing("database write");
    return Reflect.apply(batch, this, args);
  },
});

syncBuiltinESMExports();
