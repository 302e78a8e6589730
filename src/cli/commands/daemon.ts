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
    .option("--spool-max <size>", "how much may wait on this disk for holders (default: a tenth of the disk)")
    .option("--uplink <rate>", "what this site can send, such as 10Mbit/s (the default)")
    .option("--budget <share>", "how much of it repair may use by day (default: 20%)")
    .option("--night <share>", "and from 22 to 6 o'clock (default: 80%)");
  const options = z.object({
    listen: listenValue.optional(),
    announce: z.array(listenValue).optional(),
    spoolMax: sizeValue.optional(),
    uplink: z.string().optional(),
    budget: z.string().optional(),
    night: z.string().optional(),
  });
  bind(
    command,
    options,
    [0, 1, 2, 10],
    async (session, { listen, announce, spoolMax, uplink, budget, night }) => {
      const operations = await session.world.localOperations();
      await operations.runDaemon({
        home: session.home,
        signal: session.signal,
        ...(listen === undefined ? {} : { listen }),
        ...(announce === undefined ? {} : { announce }),
        ...(spoolMax === undefined ? {} : { spoolMaxBytes: spoolMax }),
        repairRate: {
          ...(uplink === undefined ? {} : { uplink }),
          ...(budget === undefined ? {} : { budget }),
          ...(night === undefined ? {} : { night }),
        },
      });
      return EXIT.done;
    },
  );
  return command;
};
