import { lstatSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes } from "../src/base/units.ts";
import { counted } from "../src/cli/text.ts";
import { keepFolder, makeFolder, removeFolder, roomIn, sweep } from "./folder.ts";
import { npmWatch } from "./proc.ts";
import { Processes, Stopped } from "./processes.ts";
import { Report } from "./report.ts";
import { defaultSource, type Source } from "./source.ts";
import {
  burnOwner,
  foundSwarm,
  killSite,
  recoverOwner,
  restoreAndCompare,
  showShards,
  takeSnapshot,
  targetsIn,
} from "./steps.ts";
import { DemoSwarm } from "./swarm.ts";
import { scan } from "./tree.ts";

const USAGE = `usage: npm run demo [-- [--keep] [PATH]]

Nine nodes at three sites on this machine save PATH, lose a site, restore; then the owner's machine burns down and
comes back from its recovery key. PATH is only read. Without it: a part of /usr/share. --keep: leave the folder there.
exit status: 0 held, 1 did not hold or could not be done, 2 usage, 3 held but some paths could not be read
`;
/** Six shards of which three would do: twice the source; and each restored tree once more. */
const ROOM_FACTOR = 4;
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const PARENT_POLL_MS = 500;

const processes = new Processes();
const report = new Report();
let folder: string | undefined;
let keep = false;
let ending: Promise<never> | undefined;

/** Ends whatever still runs, removes the folder, and the demo is over. Whoever calls first decides the status. */
function end(status: number): Promise<never> {
  ending ??= (async () => {
    await processes.endAll();
    if (folder !== undefined && keep) {
      keepFolder(folder);
      console.log(`Kept: ${folder}`);
    } else if (folder !== undefined) removeFolder(folder);
    return process.exit(status);
  })();
  return ending;
}

function interrupted(why: string, status: number): void {
  if (ending !== undefined) return;
  report.close();
  console.error(`\nStopped (${why}); cleaning up.`);
  void end(status);
}

function watchForTheEnd(): void {
  for (const [signal, status] of Object.entries(SIGNALS))
    process.on(signal, () => interrupted(signal, status));
  process.on("uncaughtException", (error) => {
    console.error(error);
    void end(1);
  });
  // A reader such as head that has seen enough.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => interrupted("EPIPE", 141));
  if (process.env["npm_lifecycle_event"] === undefined) return;
  const isNpmThere = npmWatch();
  setInterval(() => {
    if (!isNpmThere()) interrupted("npm has gone", SIGNALS.SIGHUP);
  }, PARENT_POLL_MS).unref();
}

async function play(path: string | undefined): Promise<number> {
  const swept = sweep();
  if (swept.length > 0)
    console.log(`Swept what an earlier demo left when it was killed: ${swept.join(", ")}`);
  folder = makeFolder();
  console.log(`cairn demo in ${folder}, as ${process.getuid?.() === 0 ? "root" : "an ordinary user"}`);
  const source = path === undefined ? await defaultSource() : sourceAt(path, folder);
  const roots = source.paths;
  const before = await scan(roots);
  console.log(
    `Source: ${source.explanation}: ${counted(before.entries.size, "entry", "entries")}, ${formatBytes(before.bytes)}. It is only read.`,
  );
  const neededBytes = before.bytes * ROOM_FACTOR;
  const roomBytes = roomIn(folder);
  if (roomBytes < neededBytes)
    throw new Error(
      `${folder} has room for ${formatBytes(roomBytes)} and ${formatBytes(neededBytes)} are needed; ` +
        `set TMPDIR to a bigger disk, or give a smaller PATH`,
    );
  const swarm = new DemoSwarm(processes, folder);
  const [first, second] = targetsIn(folder);
  await report.step("Make a swarm", (step) => foundSwarm(step, report, swarm));
  const omitted = new Set<string>();
  const made = await report.step("Save the source", async (step) => {
    const result = await takeSnapshot(step, report, swarm, roots);
    for (const { pathBase64 } of [...result.unreadable, ...result.skipped])
      omitted.add(Buffer.from(pathBase64, "base64").toString("latin1"));
    return result;
  });
  const holdings = await report.step("See where the shards are", (step) =>
    showShards(step, report, swarm, made),
  );
  await report.step("Lose a site", (step) => killSite(step, report, swarm, holdings));
  const check = { processes, roots, before, omitted };
  await report.step("Restore from the survivors", (step) =>
    restoreAndCompare(step, report, swarm.owner, { ...check, target: first }),
  );
  await report.step("Lose the owner's machine", (step) => burnOwner(step, report, swarm, first));
  const machine = await report.step("Recover on an empty machine", (step) =>
    recoverOwner(step, report, swarm),
  );
  await report.step("Restore there", (step) =>
    restoreAndCompare(step, report, machine, { ...check, target: second }),
  );
  report.table();
  return report.verdict();
}

function sourceAt(given: string, own: string): Source {
  // npm runs scripts in the project's folder; what was meant is relative to where the user is.
  const path = resolve(process.env["INIT_CWD"] ?? process.cwd(), given);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) throw new Error(`there is no ${path}`);
  // A snapshot of a link saves the link; who names one here means what it points to.
  const real = realpathSync(path);
  if (`${realpathSync(own)}/`.startsWith(real === "/" ? "/" : `${real}/`))
    throw new Error(`${real} contains the demo's own folder ${own}; set TMPDIR to somewhere else`);
  return { paths: [Buffer.from(real).toString("latin1")], explanation: real };
}

function parseCommandLine(): { path: string | undefined } | number {
  try {
    const { values, positionals } = parseArgs({
      options: {
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
      allowPositionals: true,
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    const [path, ...more] = positionals;
    if (more.length > 0 || path === "") throw new Error("give one PATH, or none");
    keep = values.keep;
    return { path };
  } catch (error) {
    console.error(`demo: ${error instanceof Error ? error.message : error}\n${USAGE}`);
    return 2;
  }
}

const parsed = parseCommandLine();
if (typeof parsed === "number") process.exit(parsed);
if (process.platform !== "linux") {
  console.error("demo: cairn nodes run on Linux only.");
  process.exit(1);
}
watchForTheEnd();
let status = 1;
try {
  status = await play(parsed.path);
} catch (error) {
  if (!(error instanceof Stopped)) {
    const message = error instanceof Error ? error.message : String(error);
    if (report.isEmpty) console.error(`demo: ${message}.`);
    else {
      report.fail(message);
      report.table();
      report.verdict();
    }
  }
}
await end(status);
