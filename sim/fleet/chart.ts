import { DAY_MS, formatBytes } from "../../src/base/units.ts";
import type { FleetReport } from "./run.ts";

const WIDTH = 900;
const PANEL = 170;
const LEFT = 80;
const RIGHT = 20;
const TOP = 40;
const GAP = 46;
const YEAR_MS = 365.25 * DAY_MS;

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
}

interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly show: (value: number) => string;
}

/** Margin, bytes repaired and nodes up over the years, as a picture that any browser shows. */
export function chartOf(report: FleetReport): string {
  const { samples } = report;
  const plain = (value: number): string => String(Math.round(value * 10) / 10);
  const panels: Panel[] = [
    {
      title: "margin: how many more shards of a segment may go",
      lines: [
        { name: "mean", colour: "#2563eb", values: samples.map(({ meanMargin }) => meanMargin) },
        { name: "least", colour: "#dc2626", values: samples.map(({ leastMargin }) => leastMargin) },
      ],
      show: plain,
    },
    {
      title: "bytes moved by repair so far",
      lines: [
        { name: "all nodes", colour: "#2563eb", values: samples.map(({ bytesRepaired }) => bytesRepaired) },
      ],
      show: formatBytes,
    },
    {
      title: "nodes up",
      lines: [{ name: "up", colour: "#16a34a", values: samples.map(({ nodesUp }) => nodesUp) }],
      show: plain,
    },
  ];
  const height = TOP + panels.length * (PANEL + GAP);
  const head = `${report.nodes} nodes at ${report.sites} sites, profile ${report.profile}, ${report.years} years`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    `<text x="${LEFT}" y="20" font-size="15">${head}</text>`,
    ...panels.flatMap((panel, at) => panelOf(panel, TOP + at * (PANEL + GAP), report)),
    "</svg>",
    "",
  ].join("\n");
}

function panelOf({ title, lines, show }: Panel, top: number, report: FleetReport): string[] {
  const all = lines.flatMap(({ values }) => values).filter(Number.isFinite);
  const least = Math.min(0, ...all);
  const most = Math.max(1, ...all);
  const width = WIDTH - LEFT - RIGHT;
  const y = (value: number): number => top + 16 + PANEL - ((value - least) / (most - least)) * PANEL;
  const x = (atMs: number): number => LEFT + (atMs / (report.years * YEAR_MS)) * width;
  const grid = [least, (least + most) / 2, most].flatMap((value) => [
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(value))}" y2="${round(y(value))}" stroke="#e5e7eb"/>`,
    `<text x="${LEFT - 6}" y="${round(y(value) + 4)}" text-anchor="end" fill="#374151">${show(value)}</text>`,
  ]);
  const years = Array.from({ length: Math.floor(report.years) + 1 }, (_, year) => year);
  const ticks = years.map(
    (year) =>
      `<text x="${round(x(year * YEAR_MS))}" y="${top + PANEL + 32}" text-anchor="middle" fill="#374151">${year} y</text>`,
  );
  const drawn = lines.map(({ values, colour }) => {
    const points = values.flatMap((value, at) => {
      const sample = report.samples[at];
      return sample === undefined || !Number.isFinite(value)
        ? []
        : [`${round(x(sample.atMs))},${round(y(value))}`];
    });
    return `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.join(" ")}"/>`;
  });
  const names = lines.map(
    ({ name, colour }, at) =>
      `<text x="${WIDTH - RIGHT - 60 * at}" y="${top + 10}" text-anchor="end" fill="${colour}">${name}</text>`,
  );
  return [`<text x="${LEFT}" y="${top + 10}">${title}</text>`, ...names, ...grid, ...ticks, ...drawn];
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
