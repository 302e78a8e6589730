import { z } from "zod";
import { formatBytes } from "../../base/units.ts";
import { EXIT } from "../exit-codes.ts";
import type { RecoverReport } from "../local-operations.ts";
import { readRecoveryKey } from "../recovery-key.ts";
import { counted, printable, shortId, shortTime } from "../text.ts";
import { repeated, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { collect } from "./collect.ts";
import { addNodeOptions, nodeOptions, nodeSettings } from "./node-options.ts";

const options = z.object({
  ...nodeOptions,
  recoveryKey: z.string(),
  peer: repeated,
  token: z.string().optional(),
  site: z.string().optional(),
  readOnly: z.boolean().default(false),
  head: z.string().optional(),
  acceptHead: z.string().optional(),
});
type Options = z.output<typeof options>;

export const recoverCommand: AddCommand = (program, bind) => {
  const command = addNodeOptions(
    program
      .command("recover")
      .description("bring a lost machine's repository back onto this one")
      .requiredOption("--recovery-key <file>", "the 24 words; - reads them from standard input")
      .option("--peer <addr>", "a member that can be reached; may be repeated", collect)
      .option("--token <token>", "or a join token")
      .option("--site <name>", "the site this machine is at, if it is another than before")
      .option("--read-only", "only look and restore; the old machine goes on")
      .option("--head <id>", "go back to an older state of the repository")
      .option("--accept-head <id>", "go on although less than half of the peers answered"),
  );
  bind(command, options, [0, 1, 2, 6, 11, 12, 130], async (session, given) => {
    if (given.peer.length === 0 && given.token === undefined)
      throw usage("Say how to reach the swarm: --peer ADDR of any member, or --token TOKEN.");
    const words = await readRecoveryKey(given.recoveryKey, session.world);
    const { recoverHome } = await session.world.localOperations();
    const report = await recoverHome({
      ...nodeSettings(session, given),
      ...chosen(given),
      words,
      peers: given.peer,
      readOnly: given.readOnly,
      signal: session.signal,
      onProgress: (event) => session.showProgress(event),
    });
    await session.result({ type: "summary", ...report }, () => recoverText(report));
    if (!session.json) for (const warning of report.warnings) session.note(`Warning: ${printable(warning)}`);
    return EXIT.done;
  });
  return command;
};

function chosen({ token, site, head, acceptHead }: Options) {
  return {
    ...(token === undefined ? {} : { token }),
    ...(site === undefined ? {} : { site }),
    ...(head === undefined ? {} : { head }),
    ...(acceptHead === undefined ? {} : { acceptHead }),
  };
}

function recoverText(report: RecoverReport): string {
  const { members, head } = report;
  const lines = [
    `Found repository ${shortId(report.ownerId)}: ${members.answered} of ${counted(members.asked, "member")} answered.`,
    `Newest state ${shortId(head.id)} of ${shortTime(head.time)} UTC, ${counted(report.snapshots, "snapshot")}, ` +
      `${formatBytes(report.bytesFetched)} fetched.`,
    report.readOnly
      ? "Read-only: the old machine, if it lives, goes on."
      : "This machine has it now; the old one may not write any more.",
    `Start the node with "cairn daemon", then "cairn restore latest --target DIR".`,
  ];
  return `${lines.join("\n")}\n`;
}
