import { KIB } from "../../src/base/units.ts";
import type { Figures } from "./job.ts";

/** One line of the report: what, how much, how much is allowed. */
export interface Line {
  readonly what: string;
  readonly figure: string;
  readonly goal: string;
  readonly met: boolean;
}

const MB = 1_000_000;
/** restic is a fast program that writes to one local directory; ours also encodes and crosses a network. */
const TIME_RATIO_MAX = 3;
const DAEMON_BYTES_MAX = 400_000_000;
const STORED_RATIO_MAX = 1.1;
const UNCHANGED_BYTES_MAX = 64 * KIB;
const SINGLE_FILE_BYTES_MAX = MB;
const RECOVERED_FILE_BYTES_MAX = 2 * MB;

export function report(figures: Figures): Line[] {
  return [
    ...timeLines(figures),
    ...memoryLines(figures),
    storedLine(figures),
    ...unchangedLines(figures),
    ...singleFileLines(figures),
    {
      what: "restored trees",
      figure:
        figures.differences.length === 0
          ? "equal by rsync and diff"
          : `${figures.differences.length} differences`,
      goal: "equal",
      met: figures.differences.length === 0,
    },
  ];
}

function timeLines({ times }: Figures): Line[] {
  return times.map(({ what, cairnMs, resticMs }) => {
    if (resticMs === undefined) return { what, figure: seconds(cairnMs), goal: "(no restic)", met: true };
    const ratio = cairnMs / resticMs;
    return {
      what,
      figure: `${seconds(cairnMs)}, restic ${seconds(resticMs)}: ${ratio.toFixed(2)}x`,
      goal: `<= ${TIME_RATIO_MAX}x`,
      met: ratio <= TIME_RATIO_MAX,
    };
  });
}

/** The worst moment of each daemon that is above the goal, and of the worst one in any case. */
function memoryLines({ peaks }: Figures): Line[] {
  const worstOf = new Map<string, Figures["peaks"][number]>();
  for (const peak of peaks) if (!worstOf.has(peak.node)) worstOf.set(peak.node, peak);
  const daemons = [...worstOf.values()];
  const shown = daemons.filter((peak, rank) => rank === 0 || peak.bytes > DAEMON_BYTES_MAX);
  return shown.map((peak) => ({
    what: `memory of the daemon ${peak.node}`,
    figure: `${megabytes(peak.bytes)} (${peak.during})`,
    goal: `<= ${megabytes(DAEMON_BYTES_MAX)}`,
    met: peak.bytes <= DAEMON_BYTES_MAX,
  }));
}

function storedLine({ stored, profile }: Figures): Line {
  const what = "bytes at the holders";
  const overhead = (profile.k + profile.m) / profile.k;
  if (stored.resticBytes === undefined)
    return { what, figure: megabytes(stored.holderBytes), goal: "(no restic)", met: true };
  const ratio = stored.holderBytes / (stored.resticBytes * overhead);
  return {
    what,
    figure: `${megabytes(stored.holderBytes)}, restic ${megabytes(stored.resticBytes)}: ${ratio.toFixed(3)} x n/k`,
    goal: `<= ${STORED_RATIO_MAX} x n/k`,
    met: ratio <= STORED_RATIO_MAX,
  };
}

/** A file that was opened would have been read; what is stored is one tail, as many times as it has copies. */
function unchangedLines({ unchanged, profile }: Figures): Line[] {
  return [
    {
      what: "nothing changed: bytes read",
      figure: `${unchanged.bytesRead}`,
      goal: "0",
      met: unchanged.bytesRead === 0,
    },
    {
      what: "nothing changed: stored",
      figure: `${unchanged.segments} segments, ${kilobytes(unchanged.bytesStored)} with all copies`,
      goal: `<= 1 of ${kilobytes(UNCHANGED_BYTES_MAX)}`,
      met: unchanged.segments <= 1 && unchanged.bytesStored <= UNCHANGED_BYTES_MAX * (profile.k + profile.m),
    },
  ];
}

function singleFileLines({ singleFile: one }: Figures): Line[] {
  const path = Math.max(0, one.recoveredFirst - one.recoveredAgain);
  const atMost = (what: string, bytes: number, max: number): Line => ({
    what: `${kilobytes(one.fileBytes)} file, ${what}: fetched`,
    figure: kilobytes(bytes),
    goal: `< ${kilobytes(max)}`,
    met: bytes < max,
  });
  return [
    atMost("owner, all up", one.ownerAllUp, SINGLE_FILE_BYTES_MAX),
    atMost("owner, m peers dead", one.ownerPeersDown, SINGLE_FILE_BYTES_MAX),
    atMost("recovered machine, the file itself", one.recoveredAgain, RECOVERED_FILE_BYTES_MAX),
    {
      what: "recovered machine, path through tree and index",
      figure: `${kilobytes(path)} by the restore, ${kilobytes(one.recover)} by recover`,
      goal: "(reported)",
      met: true,
    },
  ];
}

export function printed(lines: readonly Line[]): string {
  const width = (of: (line: Line) => string): number => Math.max(...lines.map((line) => of(line).length));
  const [what, figure] = [width((line) => line.what), width((line) => line.figure)];
  return lines
    .map(
      (line) =>
        `${line.met ? "  " : "! "}${line.what.padEnd(what)}  ${line.figure.padEnd(figure)}  ${line.goal}`,
    )
    .join("\n");
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function megabytes(bytes: number): string {
  return `${(bytes / MB).toFixed(0)} MB`;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
