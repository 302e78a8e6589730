import { type Command, Option } from "commander";
import { z } from "zod";
import { Fault } from "../base/fault.ts";
import type { CommandContext, ControlHandlers, ProgressEvent } from "../control/api.ts";
import { issuesText } from "../control/issues-text.ts";
import { EXIT_MEANINGS, type ExitStatus } from "./exit-codes.ts";
import { Output } from "./output.ts";
import { ProgressDisplay } from "./progress.ts";
import { usage } from "./values.ts";
import { homeOf, type World } from "./world.ts";

/** With --json and --progress: at most one line in so long. */
const JSON_PROGRESS_MS = 1000;

const commonOptions = z.object({
  home: z.string().optional(),
  json: z.boolean().default(false),
  progress: z.boolean().default(false),
});
type CommonOptions = z.output<typeof commonOptions>;

/** One run of one command: what it prints to, whom it asks, how it learns that it is to stop. */
export class Session {
  readonly world: World;
  readonly home: string;
  readonly json: boolean;
  readonly out: Output;
  readonly signal: AbortSignal;
  readonly #display: ProgressDisplay | undefined;
  readonly #jsonProgress: boolean;
  #jsonProgressMs = Number.NEGATIVE_INFINITY;

  constructor(world: World, common: CommonOptions, signal: AbortSignal) {
    this.world = world;
    this.home = homeOf(common.home, world);
    this.json = common.json;
    this.out = new Output(world.stdout);
    this.signal = signal;
    this.#jsonProgress = common.json && common.progress;
    const terminal = world.stderr.isTTY === true;
    if (terminal || common.progress) this.#display = new ProgressDisplay(progressTarget(world, terminal));
  }

  get daemon(): ControlHandlers {
    return this.world.daemonOf(this.home);
  }

  get context(): CommandContext {
    return { signal: this.signal, progress: (event) => this.showProgress(event) };
  }

  get toTerminal(): boolean {
    return this.world.stdout.isTTY === true;
  }

  showProgress(event: ProgressEvent): void {
    this.#display?.show(event);
    const nowMs = this.world.monotonicMs();
    if (!this.#jsonProgress || nowMs - this.#jsonProgressMs < JSON_PROGRESS_MS) return;
    this.#jsonProgressMs = nowMs;
    // Not awaited: one short line a second needs no back-pressure, and the result's write reports a closed reader.
    void this.out
      .json(event)
      .then(() => this.out.flush())
      .catch(() => {});
  }

  /** Before anything else is printed, and at the end. */
  clearProgress(): void {
    this.#display?.clear();
  }

  /** What somebody should read although the command went on; never on standard output. */
  note(text: string): void {
    this.clearProgress();
    this.world.stderr.write(text.endsWith("\n") ? text : `${text}\n`);
  }

  /** The result: one JSON document, or text for people. */
  async result(json: unknown, text: () => string): Promise<void> {
    this.clearProgress();
    if (this.json) await this.out.json(json);
    else await this.out.write(text());
  }
}

function progressTarget(world: World, terminal: boolean) {
  return {
    write: (text: string) => void world.stderr.write(text),
    columns: terminal ? (world.stderr.columns ?? 80) : undefined,
    monotonicMs: () => world.monotonicMs(),
  };
}

/** Runs the action of whichever command was given, and keeps its exit status. */
export type Bind = <S extends z.ZodType>(
  command: Command,
  options: S,
  exits: readonly ExitStatus[],
  action: (session: Session, options: z.output<S>, args: readonly string[]) => Promise<ExitStatus>,
) => void;

/** SIGINT, SIGTERM and SIGHUP abort the session's signal; what that means is the action's business. */
export function binder(world: World, finished: (status: ExitStatus) => void): Bind {
  return (command, schema, exits, action) => {
    addCommonOptions(command);
    command.addHelpText("after", exitHelp(exits));
    command.action(async () => {
      const stop = new AbortController();
      const release = world.onInterrupt(() => stop.abort(new Fault({ code: "INTERRUPTED" })));
      try {
        const common = commonOptions.parse(command.optsWithGlobals());
        const session = new Session(world, common, stop.signal);
        try {
          const status = await action(session, optionsOf(schema, command.opts()), command.args);
          await session.out.end();
          finished(status);
        } finally {
          session.clearProgress();
        }
      } finally {
        release();
      }
    });
  };
}

function optionsOf<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const flagOf = (name: string): string =>
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw usage(`${issuesText(parsed.error, flagOf)}.`);
}

export function addCommonOptions(command: Command): Command {
  return command
    .addOption(new Option("--home <dir>", "where the node keeps everything (or CAIRN_HOME)"))
    .addOption(new Option("--json", "JSON on standard output"))
    .addOption(new Option("--progress", "show progress even if standard error is no terminal"));
}

function exitHelp(exits: readonly ExitStatus[]): string {
  const lines = exits.map((status) => `  ${String(status).padStart(3)}  ${EXIT_MEANINGS[status]}`);
  return `\nExit status:\n${lines.join("\n")}\n`;
}
