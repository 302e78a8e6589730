import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/base/assert.ts";
import { run, runWell } from "./processes.ts";

/** What every Debian machine has: about 1.3 GiB in 53,000 files, most of them small. */
const SOURCES = ["/usr/share", "/usr/lib/x86_64-linux-gnu"];

/** Copies the usual trees below `directory`. */
export async function copyCorpus(directory: string): Promise<void> {
  await runWell("cp", ["-a", ...SOURCES, directory]);
}

/** Reads everything once, so that the first of two programs to be compared does not pay for the disk alone. */
export async function warm(directory: string): Promise<void> {
  await runWell("sh", ["-c", 'tar -cf - "$1" 2>/dev/null | cat >/dev/null', "sh", directory]);
}

export interface CorpusSize {
  readonly files: number;
  readonly bytes: number;
  /** Regular files of about 10 KB, from all over the tree. */
  readonly smallFiles: readonly string[];
}

const SMALL_BYTES = [9_000, 11_000] as const;
/** Enough that a killed holder has had the shard of some. */
const SMALL_FILES = 6;

export function sizeOf(directory: string): CorpusSize {
  let files = 0;
  let bytes = 0;
  const small: string[] = [];
  for (const path of filesBelow(directory)) {
    const { size } = lstatSync(path);
    files++;
    bytes += size;
    if (size >= SMALL_BYTES[0] && size <= SMALL_BYTES[1]) small.push(path);
  }
  if (small.length === 0) throw new Error(`${directory} has no file of 9 to 11 kB`);
  small.sort();
  const smallFiles = Array.from({ length: SMALL_FILES }, (_, i) =>
    must(small[Math.floor(((i + 0.5) * small.length) / SMALL_FILES)], "small file"),
  );
  return { files, bytes, smallFiles };
}

/** Node's own recursion goes through symbolic links to directories. */
function* filesBelow(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

/** What rsync would have to change to make `restored` the same as `original`: nothing, it is hoped. */
export async function differences(original: string, restored: string): Promise<string[]> {
  const flags = ["-aHAXn", "--itemize-changes", "--delete", "--modify-window=-1", "--checksum"];
  const compared = await runWell("rsync", [...flags, `${original}/`, `${restored}/`]);
  const said = compared.stdout.split("\n").filter((line) => line !== "");
  const diff = await run("diff", ["-rq", "--no-dereference", original, restored]);
  return [...said, ...diff.stdout.split("\n").filter((line) => line !== "")];
}
