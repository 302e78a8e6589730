import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import { MINUTE_MS } from "../../base/units.ts";

export interface ProcessGuardInit {
  readonly log: Log;
  /** Stops the daemon in order, then exits with a failure, so that its supervisor starts it anew. Called once. */
  readonly onFatal: (error: unknown) => void;
}

/** More than this in a minute is no stray event of one broken connection any more. */
const STRAY_PER_MINUTE_MAX = 60;
const LIBRARY =
  /[\\/]node_modules[\\/](?:@libp2p|@chainsafe|@multiformats|libp2p|it-[a-z-]+|race-[a-z-]+|p-[a-z-]+|main-event|weald)[\\/]/;

/**
 * The policy for what nobody caught, to be installed by the daemon before libp2p starts:
 * - a promise rejected inside libp2p, with no frame of ours on its stack, is the late end of some connection
 *   that is already closed (it runs abort signals and event handlers on their own): logged, and life goes on;
 * - everything else, and every uncaught exception wherever it was thrown, leaves a state nobody can vouch for:
 *   logged, then `onFatal`. Past crashes of libp2p by a remote's packets were of this kind, so the daemon must
 *   be supervised.
 * Returns how to remove it.
 */
export function guardProcess(init: ProcessGuardInit): () => void {
  let strays: number[] = [];
  let isFatal = false;
  const fatal = (event: string, error: unknown): void => {
    init.log.error(event, describe(error));
    if (isFatal) return;
    isFatal = true;
    init.onFatal(error);
  };
  const onRejection = (error: unknown): void => {
    if (!isStray(error)) {
      fatal("unhandled-rejection", error);
      return;
    }
    const nowMs = performance.now();
    strays = [...strays.filter((ms) => nowMs - ms < MINUTE_MS), nowMs];
    if (strays.length > STRAY_PER_MINUTE_MAX) fatal("unhandled-rejections-too-many", error);
    else init.log.warn("libp2p-rejection", describe(error));
  };
  const onException = (error: unknown): void => fatal("uncaught-exception", error);
  process.on("unhandledRejection", onRejection);
  process.on("uncaughtException", onException);
  return () => {
    process.off("unhandledRejection", onRejection);
    process.off("uncaughtException", onException);
  };
}

/** Whether the error comes from the network libraries alone: none of its frames is outside node_modules. */
export function isStray(error: unknown): boolean {
  if (!(error instanceof Error) || error.stack === undefined) return false;
  const frames = error.stack.split("\n").filter((line) => /^\s*at /.test(line) && !/\(?node:/.test(line));
  return frames.some((line) => LIBRARY.test(line)) && frames.every((line) => line.includes("node_modules"));
}

function describe(error: unknown): Readonly<Record<string, unknown>> {
  return { reason: messageOf(error), stack: error instanceof Error ? error.stack : undefined };
}
