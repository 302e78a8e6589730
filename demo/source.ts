import { accessSync, constants, lstatSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MIB } from "../src/base/units.ts";
import { pathBuffer, scan, type Tree } from "./tree.ts";

/** Where every Linux machine has a real tree: many small files, links, some big ones. */
const TREE = "/usr/share";
/** Enough for dozens of segments, little enough for a laptop's disk and a minute. */
const LIMIT_BYTES = 300 * MIB;
/** A slim container has next to nothing there. */
const WORTHWHILE_BYTES = 5 * MIB;
const PACKAGES = fileURLToPath(new URL("../node_modules", import.meta.url));

/** Bytes as latin1: what is saved. */
export interface Source {
  readonly paths: readonly string[];
  readonly explanation: string;
}

/** Subdirectories of /usr/share in the order of their names, each that still fits the limit and can be read. */
export async function defaultSource(): Promise<Source> {
  const chosen: string[] = [];
  let bytes = 0;
  let tooBig = 0;
  let unreadable = 0;
  for (const name of subdirectories(TREE)) {
    const path = `${TREE}/${name}`;
    const tree = await scan([path]);
    if (!isReadable(tree)) unreadable += 1;
    else if (bytes + tree.bytes > LIMIT_BYTES) tooBig += 1;
    else {
      chosen.push(path);
      bytes += tree.bytes;
    }
  }
  if (bytes < WORTHWHILE_BYTES)
    return {
      paths: [PACKAGES],
      explanation: `the installed packages, as there is hardly anything in ${TREE}`,
    };
  const left = [
    tooBig > 0 ? `${tooBig} did not fit` : "",
    unreadable > 0 ? `${unreadable} hold files this user may not read` : "",
  ].filter((text) => text !== "");
  const rest = left.length === 0 ? "" : ` (${left.join(", ")})`;
  return {
    paths: chosen,
    explanation: `${chosen.length} subdirectories of ${TREE}, in the order of their names up to 300 MiB${rest}`,
  };
}

function isReadable(tree: Tree): boolean {
  if (tree.unreadable.size > 0) return false;
  for (const [path, { type }] of tree.entries) {
    if (type !== "file") continue;
    try {
      accessSync(pathBuffer(path), constants.R_OK);
    } catch {
      return false;
    }
  }
  return true;
}

function subdirectories(path: string): string[] {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(path, { encoding: "latin1", withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}
