export interface HookRequest {
  /** The program and its arguments; no shell. */
  readonly argv: readonly string[];
  readonly timeLimitMs: number;
  /** Added to the process's own. */
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export type HookEnd =
  | { readonly ok: true }
  /** `said`: the end of what it wrote on standard error, at most 4 KiB. */
  | { readonly ok: false; readonly reason: string; readonly said: string };

/**
 * Runs a command of the policy to its end. Never throws for what the command does: a status other than 0, a signal, a time
 * limit that has passed and a program that is not there are answers. It ends, with everything it has started, within
 * seconds of its time limit or of the signal.
 */
export interface HookRunner {
  run(request: HookRequest): Promise<HookEnd>;
}
