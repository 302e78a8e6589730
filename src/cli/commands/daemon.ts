import { z } from "zod";
import { EXIT } from "../exit-codes.ts";
import { listenValue, sizeValue } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";

export const daemonCommand: AddCommand = (program, bind) => {
  const command = program
    .command("daemon")
    .description("run this node in the foreground; logs JSON lines, ready when one says event: ready")
    .option("--listen <addr>", "HOST:PORT or a multiaddr; port 0 picks a free one")
    .option(
      "--announce <addr>",
      "where others reach this node, such as a forwarded HOST:PORT, instead of its own addresses; may be repeated",
      collect,
    )
    .option(
      "--spool-max <size>",
      "how much may wait on this disk for holders (default: a tenth of the disk)",
    );
  const options = z.object({
    listen: listenValue.optional(),
    announce: z.array(listenValue).optional(),
    spoolMax: sizeValue.optional(),
  });
  bind(command, options, [0, 1, 2, 10], async (session, { listen, announce, spoolMax }) => {
    const operations = await session.world.localOperations();
    await operations.runDaemon({
      home: session.home,
      signal: session.signal,
      ...(listen === undefined ? {} : { listen }),
      ...(announce === undefined ? {} : { announce }),
      ...(spoolMax === undefined ? {} : { spoolMaxBytes: spoolMax }),
    });
    return EXIT.done;
  });
  return command;
};
