import { execFileSync, spawnSync } from "node:child_process";
import {
  type BigIntStats,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { SeededRng } from "../../sim/rng.ts";

export interface TreeInit {
  readonly seed: string;
  readonly files: number;
  /** Each file has between nothing and twice this. */
  readonly averageBytes: number;
}

/** A directory of incompressible files in a few subdirectories. */
export function makeTree(directory: string, { seed, files, averageBytes }: TreeInit): string {
  const rng = new SeededRng(seed);
  for (let i = 0; i < files; i++) {
    const parent = join(directory, `d${i % 7}`, i % 3 === 0 ? "deep/er" : "");
    mkdirSync(parent, { recursive: true });
    writeFileSync(join(parent, `f${i}`), rng.bytes(Math.floor(rng.float() * 2 * averageBytes)));
  }
  return directory;
}

/** Whether a program is there to be run. */
export function hasProgram(name: string): boolean {
  return spawnSync("/bin/sh", ["-c", `command -v ${name}`]).status === 0;
}

/**
 * Every way in which two trees differ that we know how to look for; empty when they are the same. Our own comparison
 * first, then what diff and rsync say, so that no fault of one judge goes unnoticed.
 */
export function differences(expected: string, actual: string): string[] {
  const found = [...compare(Buffer.from(expected), Buffer.from(actual))];
  if (found.length === 0) {
    const [before, after] = [new Set(xattrs(expected)), new Set(xattrs(actual))];
    for (const entry of before.symmetricDifference(after)) found.push(`./ xattrs: ${entry}`);
  }
  const rsync = spawnSync(
    "rsync",
    ["-aHAXn", "--modify-window=-1", "--itemize-changes", "--delete", `${expected}/`, `${actual}/`],
    { encoding: "utf8" },
  );
  if (rsync.error === undefined) found.push(...linesOf(rsync.stdout), ...linesOf(rsync.stderr));
  // diff has no way to compare FIFOs and devices, and says so of each.
  const diff = spawnSync("diff", ["-r", "--no-dereference", expected, actual], { encoding: "utf8" });
  if (diff.error === undefined)
    found.push(
      ...linesOf(diff.stdout).filter(
        (line) => !/is a (fifo|character special file|block special file)/.test(line),
      ),
    );
  return found;
}

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

function* compare(expected: Buffer, actual: Buffer): Generator<string> {
  const links = { expected: new Map<string, string>(), actual: new Map<string, string>() };
  const pending = [{ expected, actual, name: "." }];
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const { name } = pair;
    const before = lstat(pair.expected);
    const after = lstat(pair.actual);
    if (before === undefined || after === undefined) {
      yield `${name}: ${before === undefined ? "should not be there" : "is missing"}`;
      continue;
    }
    for (const field of ["mode", "uid", "gid", "rdev", "mtimeNs"] as const)
      if (before[field] !== after[field]) yield `${name}: ${field} ${before[field]} became ${after[field]}`;
    if (!before.isDirectory() && before.size !== after.size)
      yield `${name}: size ${before.size} became ${after.size}`;
    if (!before.isDirectory() && before.nlink > 1n) {
      const first = firstOf(links.expected, before, name);
      const other = firstOf(links.actual, after, name);
      if (first !== other) yield `${name}: was a hard link to ${first}, is one to ${other}`;
    }
    if (before.isSymbolicLink() && after.isSymbolicLink()) {
      if (!link(pair.expected).equals(link(pair.actual))) yield `${name}: the link leads elsewhere`;
    } else if (before.isFile() && after.isFile()) {
      if (!readFileSync(pair.expected).equals(readFileSync(pair.actual))) yield `${name}: the bytes differ`;
      if (after.blocks > before.blocks + 64n) yield `${name}: ${before.blocks} blocks became ${after.blocks}`;
    } else if (before.isDirectory() && after.isDirectory()) {
      const names = new Map(
        [...list(pair.expected), ...list(pair.actual)].map((one) => [one.toString("latin1"), one]),
      );
      for (const one of names.values()) {
        pending.push({
          expected: inside(pair.expected, one),
          actual: inside(pair.actual, one),
          name: `${name}/${one}`,
        });
      }
    }
  }
}

function firstOf(links: Map<string, string>, stats: BigIntStats, name: string): string {
  const key = `${stats.dev}/${stats.ino}`;
  const first = links.get(key) ?? name;
  links.set(key, first);
  return first;
}

const list = (path: Buffer): Buffer[] => readdirSync(path, { encoding: "buffer" });
const link = (path: Buffer): Buffer => readlinkSync(path, { encoding: "buffer" });
const inside = (path: Buffer, name: Buffer): Buffer => Buffer.concat([path, Buffer.from("/"), name]);

function lstat(path: Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Every xattr of a tree as getfattr shows it, ACLs included; without that program, only rsync looks. */
function xattrs(directory: string): string[] {
  if (!HAS_GETFATTR) return [];
  const argv = ["-R", "-h", "-P", "-d", "-m", "-", "-e", "hex", "."];
  const text = execFileSync("getfattr", argv, { cwd: directory, encoding: "latin1", maxBuffer: 1 << 30 });
  return text
    .split("\n\n")
    .map((entry) => entry.split("\n").sort().join(" "))
    .sort();
}
const HAS_GETFATTR = hasProgram("getfattr");
