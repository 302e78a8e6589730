import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SeededRng } from "../rng.ts";

/** What the files of a directory are: SHA-256 by relative path. */
export type Contents = ReadonlyMap<string, string>;

const FILES_MAX = 40;
/** So that some snapshots are one small segment and some are several large ones. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

export function contentsOf(directory: string): Contents {
  const found = readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    files.sort().map((path) => [path.slice(directory.length + 1), sha256Hex(readFileSync(path))]),
  );
}

/** Why two directories are not the same, in a few words; `undefined` where they are. */
export function differenceOf(saved: Contents, restored: Contents): string | undefined {
  for (const [path, hash] of saved) {
    const back = restored.get(path);
    if (back !== hash) return `${path} is ${back === undefined ? "missing" : "not as it was"}`;
  }
  if (restored.size !== saved.size) return `${restored.size} files instead of ${saved.size}`;
  return undefined;
}

/** The same changes for the same seed and the same files. */
export function changeFiles(directory: string, seed: string): void {
  const rng = new SeededRng(seed);
  const known = [...contentsOf(directory).keys()];
  for (let left = 1 + rng.below(6); left > 0; left--) {
    const old = known.length > 0 && rng.chance(0.5) ? rng.pick(known) : undefined;
    const name = known.length >= FILES_MAX ? rng.below(FILES_MAX) : rng.uint32();
    const path = join(directory, old ?? join(`d${rng.below(4)}`, String(name)));
    if (old !== undefined && rng.chance(0.2)) rmSync(path, { force: true });
    else {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, newContents(rng, old === undefined ? undefined : readIfThere(path)));
    }
  }
}

/** New bytes, or the old ones with a piece exchanged. Half of them compress well. */
function newContents(rng: SeededRng, old: Uint8Array | undefined): Uint8Array {
  if (old !== undefined && old.length > 0 && rng.chance(0.7)) {
    const changed = Uint8Array.from(old);
    const piece = rng.bytes(Math.min(5000, old.length));
    changed.set(piece, rng.below(old.length - piece.length + 1));
    return changed;
  }
  const bytes = Math.floor(FILE_BYTES_MAX * rng.float() ** 3);
  return rng.chance(0.5) ? rng.bytes(bytes) : new Uint8Array(bytes).fill(rng.below(256));
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
