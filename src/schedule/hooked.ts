import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { Hooks } from "../policy/index.ts";
import type { HookRunner } from "../ports/index.ts";

/** Where the policy does not say: a database that does not come to rest in ten minutes will not. */
const TIME_LIMIT_MS = 10 * MINUTE_MS;

export interface HookOutcome {
  readonly reason: string;
}

interface HookedInit {
  readonly set: string;
  readonly hooks: Hooks;
  readonly runner: HookRunner;
  readonly log: Log;
}

/**
 * A snapshot between its hooks. Where the one before fails there is no snapshot: what it should have brought to rest is
 * not at rest. The one after runs whenever the one before was begun, also when it failed half-way and when the snapshot
 * did: it starts again what was stopped.
 */
export class Hooked {
  readonly #init: HookedInit;

  constructor(init: HookedInit) {
    this.#init = init;
  }

  async around<T>(
    signal: AbortSignal,
    task: () => Promise<T>,
    idOf: (result: T) => { readonly id: Uint8Array },
  ): Promise<{ result: T; after: HookOutcome | undefined }> {
    const { before } = this.#init.hooks;
    let result: T;
    try {
      if (before !== undefined) await this.#before(before, signal);
      result = await task();
    } catch (error) {
      await this.#after({ CAIRN_RESULT: "failed" });
      throw error;
    }
    const after = await this.#after({ CAIRN_RESULT: "done", CAIRN_SNAPSHOT: toHex(idOf(result).id) });
    return { result, after };
  }

  async #before(argv: readonly string[], signal: AbortSignal): Promise<void> {
    const end = await this.#run(argv, { CAIRN_PHASE: "before" }, signal);
    if (end.ok) return;
    signal.throwIfAborted();
    const { reason, said } = end;
    this.#init.log.error("hook-failed", { set: this.#init.set, phase: "before", why: reason, said });
    throw new Fault({ code: "COMMAND_FAILED", command: argv.join(" ").slice(0, 512), reason, stderr: said });
  }

  /** Also when the daemon stops: what was brought to rest must not stay so. Its time limit still holds. */
  async #after(environment: Readonly<Record<string, string>>): Promise<HookOutcome | undefined> {
    const { after } = this.#init.hooks;
    if (after === undefined) return undefined;
    const end = await this.#run(
      after,
      { CAIRN_PHASE: "after", ...environment },
      new AbortController().signal,
    );
    if (end.ok) return undefined;
    this.#init.log.error("hook-failed", {
      ...{ set: this.#init.set, phase: "after", why: end.reason, said: end.said },
    });
    return { reason: end.reason };
  }

  #run(argv: readonly string[], environment: Readonly<Record<string, string>>, signal: AbortSignal) {
    const { hooks, runner, set } = this.#init;
    const timeLimitMs = hooks["time-limit"] ?? TIME_LIMIT_MS;
    return runner.run({ argv, timeLimitMs, environment: { CAIRN_SET: set, ...environment }, signal });
  }
}
