import { formatBytes } from "../src/base/units.ts";
import { counted } from "../src/cli/text.ts";
import { changedPaths, compareTrees, isOmitted } from "./compare.ts";
import type { Processes } from "./processes.ts";
import type { Report } from "./report.ts";
import { askTools } from "./tools.ts";
import { scan, shownPath, type Tree } from "./tree.ts";

const SHOWN_MAX = 10;

export interface CheckInit {
  readonly processes: Processes;
  readonly report: Report;
  readonly roots: readonly string[];
  readonly before: Tree;
  readonly target: string;
  readonly omitted: ReadonlySet<string>;
}

/** Compares what was restored with the source, in all the ways this machine has; says and remembers what differs. */
export async function checkRestored(init: CheckInit): Promise<string> {
  const { processes, report, roots, before, target, omitted } = init;
  const owners = process.getuid?.() === 0;
  if (!owners) report.say("Owners are not compared: only root can give files to others.");
  const own = await compareTrees({ roots, before, target, omitted, owners });
  const asked = await askTools({ processes, roots, target, owners });
  // What changed while the tools were reading excuses what they found, so this is asked last.
  const changed = changedPaths(before, await scan(roots));
  const isExcused = (path: string): boolean => {
    const isPassing = !before.entries.has(path) && changed.has(path.slice(0, path.lastIndexOf("/")));
    return changed.has(path) || isPassing || isOmitted(path, omitted);
  };
  const verdicts = [
    { tool: "the demo's own comparison", differences: own.differences },
    ...asked.map(({ findings, ...verdict }) => ({
      ...verdict,
      differences: findings
        .filter(({ path }) => path === undefined || !isExcused(path))
        .map(({ line }) => line),
    })),
  ];
  for (const { tool, differences, ...rest } of verdicts) {
    if ("unused" in rest) report.say(`${tool}: not used, ${rest.unused}`);
    else if (differences.length === 0) report.say(`${tool}: no difference`);
    else {
      const shown = differences.slice(0, SHOWN_MAX).map((line) => `  ${JSON.stringify(line)}\n`);
      report.say(`${tool}: ${counted(differences.length, "difference")}\n${shown.join("")}`);
      report.fail(`${tool} found ${counted(differences.length, "difference")}`);
    }
  }
  if (changed.size > 0) {
    const paths = [...changed].slice(0, SHOWN_MAX).map(shownPath);
    report.say(
      `The source itself changed at ${counted(changed.size, "path")} while the demo ran; they prove nothing and ` +
        `were not judged: ${paths.map((path) => JSON.stringify(path)).join(", ")}${changed.size > SHOWN_MAX ? ", ..." : ""}`,
    );
  }
  if (own.entries === 0) report.fail("nothing was left to compare");
  const result = own.differences.length === 0 ? "the same" : "DIFFERENT";
  return `${counted(own.entries, "entry", "entries")} compared, ${formatBytes(own.bytes)}: ${result}`;
}
