/**
 * Which process a run belongs to is in the names of all that it makes, so that what a killed one left can be told from
 * what is in use. A pid alone would be mistaken for the process that has the number next, or for one of another container.
 */
export interface RunId {
  readonly pid: number;
  /** When the process was born, in ticks since the boot. */
  readonly startTicks: string;
  /** The number of its pid namespace. */
  readonly pidNamespace: string;
}

const PREFIX = "cairn-sim-";
const NAME = /^cairn-sim-(\d+)\.(\d+)\.(\d+)(?:-|$)/;

/** What the names of everything of the run begin with; ends where a node's name begins. */
export function prefixOf({ pid, startTicks, pidNamespace }: RunId): string {
  return `${PREFIX}${pid}.${startTicks}.${pidNamespace}-`;
}

/** `undefined` for what is not ours. */
export function runOf(name: string): RunId | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, pid = "", startTicks = "", pidNamespace = ""] = match;
  return { pid: Number(pid), startTicks, pidNamespace };
}

/**
 * The runs among these names whose process is surely gone. One of another pid namespace cannot be seen from here, and is
 * left alone.
 */
export function staleRuns(
  names: readonly string[],
  self: Pick<RunId, "pidNamespace">,
  startTicksOf: (pid: number) => string | undefined,
): RunId[] {
  const runs = new Map<string, RunId>();
  for (const name of names) {
    const run = runOf(name);
    if (run === undefined || run.pidNamespace !== self.pidNamespace) continue;
    if (startTicksOf(run.pid) !== run.startTicks) runs.set(prefixOf(run), run);
  }
  return [...runs.values()];
}
