import { Command, CommanderError } from "commander";
import { Fault } from "../base/fault.ts";
import { DaemonFailure, faultToJson } from "../control/index.ts";
import { adminCommand } from "./commands/admin.ts";
import { adoptCommand } from "./commands/adopt.ts";
import { auditCommand } from "./commands/audit.ts";
import { catCommand } from "./commands/cat.ts";
import { daemonCommand } from "./commands/daemon.ts";
import { diffCommand } from "./commands/diff.ts";
import { drainCommand } from "./commands/drain.ts";
import { findCommand } from "./commands/find.ts";
import { forgetCommand } from "./commands/forget.ts";
import { initCommand } from "./commands/init.ts";
import { inviteCommand } from "./commands/invite.ts";
import { joinCommand } from "./commands/join.ts";
import { keyCommand } from "./commands/key.ts";
import { logCommand } from "./commands/log.ts";
import { lsCommand } from "./commands/ls.ts";
import { maintenanceCommand } from "./commands/maintenance.ts";
import { peersCommand } from "./commands/peers.ts";
import { pinCommand, unpinCommand } from "./commands/pin.ts";
import { policyCommand } from "./commands/policy.ts";
import { pruneCommand } from "./commands/prune.ts";
import { quotaCommand } from "./commands/quota.ts";
import { recoverCommand } from "./commands/recover.ts";
import { removeCommand } from "./commands/remove.ts";
import { repairCommand } from "./commands/repair.ts";
import { restoreCommand } from "./commands/restore.ts";
import { scrubCommand } from "./commands/scrub.ts";
import { shardsCommand } from "./commands/shards.ts";
import { simCommand } from "./commands/sim.ts";
import { siteCommand } from "./commands/site.ts";
import { snapshotCommand } from "./commands/snapshot.ts";
import { snapshotsCommand } from "./commands/snapshots.ts";
import { statusCommand } from "./commands/status.ts";
import { unmarkCommand } from "./commands/unmark.ts";
import { usageCommand } from "./commands/usage.ts";
import { verifyCommand } from "./commands/verify.ts";
import { errorText } from "./error-text.ts";
import { EXIT, type ExitStatus, exitStatusOf } from "./exit-codes.ts";
import { OutputClosed } from "./output.ts";
import { addCommonOptions, binder } from "./session.ts";
import { programVersion } from "./version.ts";
import type { World } from "./world.ts";

const DESCRIPTION =
  "Peer-to-peer replicated backup: the servers of an organisation keep each other's backups.";

/** In the order in which they are met: a swarm, then data. */
const COMMANDS = [
  initCommand,
  inviteCommand,
  joinCommand,
  daemonCommand,
  peersCommand,
  statusCommand,
  removeCommand,
  siteCommand,
  maintenanceCommand,
  drainCommand,
  quotaCommand,
  adminCommand,
  snapshotCommand,
  policyCommand,
  pinCommand,
  unpinCommand,
  unmarkCommand,
  forgetCommand,
  pruneCommand,
  usageCommand,
  snapshotsCommand,
  lsCommand,
  findCommand,
  diffCommand,
  catCommand,
  restoreCommand,
  recoverCommand,
  keyCommand,
  logCommand,
  adoptCommand,
  verifyCommand,
  scrubCommand,
  shardsCommand,
  auditCommand,
  simCommand,
  repairCommand,
];

/** Runs one command line; whatever happens is printed and becomes the exit status. */
export async function runCommandLine(world: World): Promise<ExitStatus> {
  let status: ExitStatus = EXIT.done;
  const program = commandTree(world, (finished) => {
    status = finished;
  });
  try {
    await program.parseAsync([...world.argv], { from: "user" });
    return status;
  } catch (error) {
    return report(error, world);
  }
}

function commandTree(world: World, finished: (status: ExitStatus) => void): Command {
  const program = new Command("cairn")
    .description(DESCRIPTION)
    .version(programVersion(), "-V, --version")
    .showHelpAfterError(`("cairn help" lists the commands, "cairn help COMMAND" their options)`)
    .showSuggestionAfterError(true);
  inherited(program, world);
  addCommonOptions(program);
  const bind = binder(world, finished);
  for (const add of COMMANDS) inherited(add(program, bind), world);
  return program;
}

/** Subcommands do not take these over from their parent by themselves when they exist already. */
function inherited(command: Command, world: World): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void world.stdout.write(text),
    writeErr: (text) => void world.stderr.write(text),
    outputError: (text, write) => write(text.replace(/^error: /, "cairn: ")),
  });
}

function report(error: unknown, world: World): ExitStatus {
  if (error instanceof OutputClosed) return EXIT.brokenPipe;
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.done;
    // Its text is on standard error already.
    const reason = error.message.replace(/^error: /, "");
    printJson(new Fault({ code: "USAGE", reason }), world);
    return EXIT.usage;
  }
  world.stderr.write(errorText(error));
  if (!(error instanceof Fault) && !(error instanceof DaemonFailure) && error instanceof Error)
    world.stderr.write(`${error.stack ?? ""}\n`);
  printJson(error, world);
  return exitStatusOf(error);
}

function printJson(error: unknown, world: World): void {
  // Behind "--" is what others are called with.
  const end = world.argv.indexOf("--");
  const own = end < 0 ? world.argv : world.argv.slice(0, end);
  if (own.includes("--json")) world.stdout.write(`${JSON.stringify(faultToJson(error))}\n`);
}
