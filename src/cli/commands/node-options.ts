import type { Command } from "commander";
import { z } from "zod";
import type { InitReport } from "../local-operations.ts";
import { createKeyFile, recoveryKeyBlock } from "../recovery-key.ts";
import type { Session } from "../session.ts";
import { printable } from "../text.ts";
import { listenValue, sizeValue } from "../values.ts";

/** What init, join and recover have in common: the node that they make. */
export const nodeOptions = {
  name: z.string().optional(),
  listen: listenValue.optional(),
  capacity: sizeValue.optional(),
};
const nodeOptionsSchema = z.object(nodeOptions);

export function addNodeOptions(command: Command, nameDefault = "the host name"): Command {
  return command
    .option("--name <name>", `what people call this node (default: ${nameDefault})`)
    .option("--listen <addr>", "HOST:PORT or a multiaddr; port 0 picks a free one")
    .option("--capacity <size>", "how much this node keeps for others, such as 500GiB");
}

export function nodeSettings(session: Session, given: z.output<typeof nodeOptionsSchema>) {
  return {
    home: session.home,
    name: given.name ?? session.world.hostName,
    ...(given.listen === undefined ? {} : { listen: given.listen }),
    ...(given.capacity === undefined ? {} : { capacityBytes: given.capacity }),
  };
}

/**
 * Makes a home and shows its recovery key, once: in the file that was asked for, else on standard output. The
 * file is made first, so that no home comes about whose key could not be written down.
 */
export async function makeHome<R extends InitReport>(
  session: Session,
  keyFile: string | undefined,
  make: () => Promise<R>,
  headline: (report: R) => string,
): Promise<void> {
  await using file = keyFile === undefined ? undefined : await createKeyFile(keyFile, session.world);
  const report = await unlessInterrupted(make(), session.signal);
  if (file !== undefined) await file.write(report.words);
  const { words, ...shown } = report;
  const key = file === undefined ? { recoveryKey: words.join(" ") } : { recoveryKeyFile: file.path };
  await session.result({ ...shown, ...key }, () => {
    const lines = [
      headline(report),
      `peer   ${report.peerId}`,
      `listen ${report.listen.join(" ")}`,
      "",
      file === undefined ? recoveryKeyBlock(words) : `The recovery key is in ${printable(file.path)}.`,
      "Keep it away from this machine: with it and one reachable peer everything comes back; without it, nothing.",
      `Start the node with "cairn daemon".`,
    ];
    return `${lines.join("\n")}\n`;
  });
}

/** A home is not half made: what was begun is left to the process's end, which comes right after. */
async function unlessInterrupted<R>(making: Promise<R>, signal: AbortSignal): Promise<R> {
  const interrupted = Promise.withResolvers<never>();
  const interrupt = (): void => interrupted.reject(signal.reason);
  signal.addEventListener("abort", interrupt);
  try {
    return await Promise.race([making, interrupted.promise]);
  } finally {
    signal.removeEventListener("abort", interrupt);
  }
}
