import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../src/base/fault.ts";
import { calibrate, crosscheck } from "./calibration/command.ts";
import { runCoarseTier } from "./coarse/command.ts";
import { runDaemonLayer } from "./daemons/command.ts";
import { durabilityTier, fleetCommand } from "./fleet/command.ts";
import { durationOf, numberOf, runFull } from "./full/command.ts";
import { foldRecords } from "./full/ledger.ts";
import { mutationsFrom, mutationsNamed, tryMutation } from "./mutations/run.ts";

/** What scripts may rely on. */
export const SIM_EXIT = { held: 0, violated: 1, failed: 2, labelMissing: 3 } as const;
export type SimExit = (typeof SIM_EXIT)[keyof typeof SIM_EXIT];

const HELP = `Usage: cairn sim run [SCENARIO.json|.ts] [options]
       cairn sim run --tier coarse|durability [options]
       cairn sim fleet FLEET.json [--years N] [--profile K+M] [--seed SEED] [--svg FILE] [--json]
       cairn sim bugs [NAME] [--seed SEED] [--time 90s] [--from WORD]
                            are the rules able to fail? each bug of a table must break its rule; with --time as
                            many of them as fit, beginning where the word says
       cairn sim calibrate [--runs 200] [--seed WORD]    what the years of a fleet take from runs of the full tier
       cairn sim crosscheck [--runs 200] [--seed WORD] [--docs]   do both tiers say the same of one swarm?
       cairn sim ledger RECORD...   adds what --record noted to docs/simulator-ledger.json, and writes the page

Runs whole swarms of the real program in virtual time, through faults drawn from a seed, and checks after each
step what must hold. The same seed gives the same run on every machine with the same version.

  SCENARIO             a plan in JSON, that a violation was shrunk to, or a scenario in TypeScript that makes one
  --seed SEED          the first seed; a number, or any word [drawn]
  --count N            so many seeds, one after the other [1]
  --time 180s          seeds until so much processor time is used; with --count, whichever ends first
  --nodes-max N        no larger swarms than that
  --nodes N --sites N  swarms of that shape, instead of 3 to 12 nodes at up to 5 sites
  --beyond             with more faults than the profile promises to survive: losing data is allowed then,
                       wrong data and wrong words are not
  --deletion           in every seed, not in three of ten, snapshots are locked, forgotten and pruned, and thieves come
  --faults KIND,KIND   these kinds of fault only
  --keep-going         go on after a violation
  --until RULE         go on until this rule is broken, whatever else is
  --shrink             leave out of a failing plan what its violation does not need (a minute at most)
  --check-determinism  run every seed twice and compare
  --twice-every N      every Nth seed twice
  --require LABEL      exit 3 unless this happened in some run; may be given several times
  --trace FILE         the last lines that the nodes logged, of the last run
  --record FILE        add a line for each run to this file, for "cairn sim ledger"
  --json               one JSON document on standard output
  --tier coarse        the same program in one large swarm, with --nodes [1000], --sites [one for 25 nodes], --hours [24],
                       --seed, --json; --clocks field for beats every five minutes instead of each hour
  --tier durability    years of a fleet, as "cairn sim fleet": with --nodes [1000] and --sites [20], or of SCENARIO
  --layer daemons      real daemons in network namespaces of this machine instead, in real time: nine of them, some
                       minutes a seed; Linux, as root. Of the options above --seed, --count, --nodes, --sites, --beyond,
                       --faults, --keep-going, --trace and --json. The same plans, but for what one cannot do to a
                       program from outside: such a plan is refused, with --as-far-as-possible its rest is run.
                       --bug NAME puts a bug of "cairn sim bugs" into the daemons: can the rules fail?

Exit status: 0 all rules held, 1 one was broken (seed, plan and the line that replays it are printed),
2 the simulator itself failed, 3 a required label never came up.
"fleet" lets years go by over a swarm of your own, event by event; exit status 1 where data was lost.
See docs/simulator.md.
`;

/** `cairn sim` with these arguments; resolves with the exit status. */
export async function runSimulator(argv: readonly string[]): Promise<SimExit> {
  try {
    const [command, ...rest] = argv;
    if (command === "bugs") return await runBugs(rest);
    if (command === "ledger" && rest.length > 0) return fold(rest);
    if (command === "calibrate") {
      await calibrate(rest);
      return SIM_EXIT.held;
    }
    if (command === "crosscheck") return (await crosscheck(rest)) ? SIM_EXIT.held : SIM_EXIT.violated;
    if (command === "fleet" && !rest.includes("--help"))
      return (await fleetCommand(rest)) ? SIM_EXIT.held : SIM_EXIT.violated;
    if (command !== "run" || rest.includes("--help")) {
      process.stdout.write(HELP);
      return command === undefined || command === "help" || argv.includes("--help")
        ? SIM_EXIT.held
        : SIM_EXIT.failed;
    }
    const options = optionsOf(rest);
    if (options.layer === "daemons") return await runDaemonLayer({ options, numberOf });
    if (options.bug !== undefined)
      throw new Error('--bug is for --layer daemons; here there is "cairn sim bugs"');
    if (options.layer !== undefined)
      throw new Error(
        `there is no layer "${options.layer}"; there is "daemons", and the simulator without it`,
      );
    return await runTier(options);
  } catch (error) {
    process.stderr.write(`cairn sim: ${messageOf(error)}\n`);
    return SIM_EXIT.failed;
  }
}

async function runTier(options: SimOptions): Promise<SimExit> {
  switch (options.tier ?? "full") {
    case "full":
      return await runFull(options);
    case "coarse":
      return await runCoarseTier(options);
    case "durability":
      return (await durabilityTier({ ...options, numberOf })) ? SIM_EXIT.held : SIM_EXIT.violated;
    default:
      throw new Error(`there is no tier "${options.tier}"; there are full, coarse and durability`);
  }
}

/** The ledger lies with the source, so that it goes with the commits that it speaks of. */
function fold(records: readonly string[]): SimExit {
  const docs = join(import.meta.dirname, "../docs");
  const page = join(docs, "simulator-ledger.md");
  const added = foldRecords(records, join(docs, "simulator-ledger.json"), page);
  process.stdout.write(`${added} runs added; see ${page}\n`);
  return SIM_EXIT.held;
}

/** Puts bugs into the core, one after the other, and looks whether the rule that is named for each is broken. */
async function runBugs(argv: readonly string[]): Promise<SimExit> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      seed: { type: "string", default: "1" },
      time: { type: "string" },
      from: { type: "string", default: "" },
    },
  });
  const timeMs = values.time === undefined ? Number.POSITIVE_INFINITY : durationOf(values.time);
  const due = mutationsFrom(mutationsNamed(positionals[0] ?? "all"), values.from);
  let [tried, missed, spentMs] = [0, 0, 0];
  for (const mutation of due) {
    if (spentMs >= timeMs) break;
    const { isCaught, by, seeds, cpuMs } = await tryMutation(mutation, values.seed);
    tried++;
    spentMs += cpuMs;
    if (!isCaught) missed++;
    const verdict = isCaught
      ? `caught by ${mutation.oracle}`
      : `MISSED by ${mutation.oracle} (${by ?? "nothing"})`;
    process.stdout.write(
      `${mutation.name}: ${verdict}, seed ${seeds} of ${mutation.withinSeeds}, ${(cpuMs / 1000).toFixed(0)} s\n`,
    );
  }
  process.stdout.write(`${tried - missed} of ${tried} caught; ${due.length - tried} left for another time\n`);
  return missed === 0 ? SIM_EXIT.held : SIM_EXIT.violated;
}

function optionsOf(argv: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      seed: { type: "string" },
      count: { type: "string" },
      time: { type: "string" },
      nodes: { type: "string" },
      "nodes-max": { type: "string" },
      sites: { type: "string" },
      beyond: { type: "boolean" },
      deletion: { type: "boolean" },
      faults: { type: "string" },
      "keep-going": { type: "boolean" },
      until: { type: "string" },
      shrink: { type: "boolean" },
      "check-determinism": { type: "boolean" },
      "twice-every": { type: "string" },
      require: { type: "string", multiple: true },
      trace: { type: "string" },
      record: { type: "string" },
      json: { type: "boolean" },
      tier: { type: "string" },
      hours: { type: "string" },
      clocks: { type: "string" },
      layer: { type: "string" },
      bug: { type: "string" },
      "as-far-as-possible": { type: "boolean" },
    },
  });
  return { ...values, scenario: positionals[0] };
}

export type SimOptions = ReturnType<typeof optionsOf>;
