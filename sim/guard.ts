import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";
import { messageOf } from "../src/base/fault.ts";

/** Something in the core that reached past the ports. */
export class StrayCall extends Error {
  override readonly name = "StrayCall";
}

export interface Guard {
  /** What was called that must not be, with where; each place once. */
  readonly stray: readonly string[];
  /** Puts everything back. */
  release(): void;
}

const STRAY_MAX = 20;

/** Ways to time and randomness that no seed decides. Objects whose methods are replaced while the guard stands. */
const FORBIDDEN: readonly (readonly [owner: object, name: string, shown: string])[] = [
  [Date, "now", "Date.now"],
  [Math, "random", "Math.random"],
  [performance, "now", "performance.now"],
  [process, "hrtime", "process.hrtime"],
  [globalThis, "setTimeout", "setTimeout"],
  [globalThis, "setInterval", "setInterval"],
  [globalThis, "setImmediate", "setImmediate"],
  [AbortSignal, "timeout", "AbortSignal.timeout"],
  [crypto, "randomBytes", "crypto.randomBytes"],
  [crypto, "randomUUID", "crypto.randomUUID"],
  [crypto, "randomInt", "crypto.randomInt"],
  [crypto, "randomFillSync", "crypto.randomFillSync"],
  [crypto.webcrypto, "getRandomValues", "crypto.webcrypto.getRandomValues"],
  [crypto.webcrypto, "randomUUID", "crypto.webcrypto.randomUUID"],
  [crypto.webcrypto.subtle, "digest", "crypto.subtle.digest"],
  [crypto.webcrypto.subtle, "sign", "crypto.subtle.sign"],
  [crypto.webcrypto.subtle, "encrypt", "crypto.subtle.encrypt"],
  [timers, "setTimeout", "timers/promises.setTimeout"],
  [timers, "setImmediate", "timers/promises.setImmediate"],
];

/**
 * Makes every way to time and randomness past the ports fail while `isCore()` holds, and keeps what was called: the core
 * may catch what it throws. Named imports that other modules made before see it too.
 */
export function raiseGuard(isCore: () => boolean): Guard {
  const stray = new Set<string>();
  const refuse = (shown: string): void => {
    if (!isCore()) return;
    const error = new StrayCall(`${shown} in the core: the run could not be replayed from its seed`);
    if (stray.size < STRAY_MAX) stray.add(`${messageOf(error)} (${callerOf(error)})`);
    throw error;
  };
  const restores = FORBIDDEN.map(([owner, name, shown]) => replace(owner, name, shown, refuse));
  const RealDate = Date;
  globalThis.Date = guardedDate(RealDate, refuse);
  syncBuiltinESMExports();
  return {
    get stray() {
      return [...stray];
    },
    release: () => {
      globalThis.Date = RealDate;
      for (const restore of restores) restore();
      syncBuiltinESMExports();
    },
  };
}

function replace(owner: object, name: string, shown: string, refuse: (shown: string) => void): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(owner, name);
  const real: unknown = Reflect.get(owner, name);
  if (typeof real !== "function") return () => {};
  const replaced = function (this: unknown, ...args: unknown[]): unknown {
    refuse(shown);
    return Reflect.apply(real, this, args);
  };
  // What hangs on the function, such as `hrtime.bigint`, stays.
  Object.defineProperties(replaced, Object.getOwnPropertyDescriptors(real));
  Object.defineProperty(owner, name, { value: replaced, configurable: true, writable: true });
  return () => {
    if (descriptor === undefined) Reflect.deleteProperty(owner, name);
    else Object.defineProperty(owner, name, descriptor);
  };
}

/** `new Date(5)` says nothing about now; `new Date()` does. */
function guardedDate(real: DateConstructor, refuse: (shown: string) => void): DateConstructor {
  return new Proxy(real, {
    construct: (target, args: unknown[]) => {
      if (args.length === 0) refuse("new Date()");
      return Reflect.construct(target, args);
    },
    apply: (target, self, args) => {
      refuse("Date()");
      return Reflect.apply(target, self, args);
    },
  });
}

/** The first line of the stack that lies in the core. */
function callerOf(error: Error): string {
  const lines = (error.stack ?? "").split("\n").slice(1);
  return (lines.find((line) => line.includes("/src/")) ?? lines[2] ?? "nobody").trim();
}
