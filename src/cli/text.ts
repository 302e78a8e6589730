import { Buffer } from "node:buffer";
import { formatBitRate, formatBytes } from "../base/units.ts";
import type { ShownPath, Survives } from "../control/api.ts";
import type { UplinkStanding } from "../control/policy-api.ts";

/** How many paths or problems a text output lists before it points to `--json`. */
const SHOWN_MAX = 20;

/**
 * Text that cannot steer a terminal: control characters show as `\n`, `\x1b` and so on. Names of files and
 * peers are other people's.
 */
export function printable(text: string): string {
  // Also C1 controls and the marks that turn the direction of writing.
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** As `printable`, for text that is several lines on purpose. */
export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n");

/** For a terminal without control characters, else the bytes as they are, so that other programs can use them. */
export function pathForOutput(shown: ShownPath, toTerminal: boolean): string | Uint8Array {
  return toTerminal ? printable(shown.path) : Buffer.from(shown.pathBase64, "base64");
}

export const shortId = (id: string): string => id.slice(0, 12);

/** `2026-11-21 03:04:05`, in UTC. */
export const shortTime = (iso: string): string => iso.slice(0, 19).replace("T", " ");

/** "1 file", "12,345 files". */
/** Dates end in the year 275760: a thief's number beyond that must not throw. */
export function isoOf(ms: number): string {
  return new Date(Math.min(ms, 8.64e15)).toISOString();
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`;
}

/** Columns wide enough for their widest cell; those named in `right` are aligned to the right. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[],
): string {
  const cells = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return right.includes(header[column] ?? "") ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** "the loss of any 1 site, or of any 3 nodes". */
export function survivesText({ sites, nodes }: Survives): string {
  const site = sites === 0 ? "no site" : `any ${counted(sites, "site")}`;
  const node = nodes === 0 ? "no node" : `any ${counted(nodes, "node")}`;
  return `the loss of ${site}, or of ${node}`;
}

/** A heading and an indented list, cut with a pointer to the rest. */
export function listing(heading: string, lines: readonly string[], count = lines.length): string {
  const shown = lines.slice(0, SHOWN_MAX).map((line) => `  ${printable(line)}\n`);
  const hidden = count - shown.length;
  const more = hidden > 0 ? `  ... and ${hidden.toLocaleString("en-US")} more; --json lists them.\n` : "";
  return `${heading}\n${shown.join("")}${more}`;
}

export const optionalBytes = (bytes: number | undefined): string =>
  bytes === undefined ? "-" : formatBytes(bytes);

const TYPE_LETTERS: Readonly<Record<string, string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  fifo: "p",
  socket: "s",
  "block-device": "b",
  "character-device": "c",
};

/** `drwxr-xr-x`, with setuid, setgid and sticky as ls shows them. */
export function modeText(type: string, mode: number): string {
  const triple = (shift: number, special: number, letter: string): string => {
    const bits = mode >> shift;
    const execute = (bits & 1) !== 0;
    const last = (mode & special) !== 0 ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
    return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${last}`;
  };
  return `${TYPE_LETTERS[type] ?? "?"}${triple(6, 0o4000, "s")}${triple(3, 0o2000, "s")}${triple(0, 0o1000, "t")}`;
}

/** For HTML: names of nodes are other people's. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return printable(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** What the policy lets this node send now. */
export function uplinkText({ bitsPerSecond, until, waiting }: UplinkStanding): string {
  const rate =
    bitsPerSecond === undefined ? "as much as the line takes" : `at most ${formatBitRate(bitsPerSecond)}`;
  const end = until === undefined ? "" : ` until ${until}`;
  const queue = waiting === 0 ? "" : `; ${counted(waiting, "shard")} of snapshots waiting for it`;
  return `uplink: ${rate}${end}${queue}`;
}
