import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * The pinned bytes of one file under test/golden. They are format: a difference is a bug, or a new version with a
 * folder of its own. `CAIRN_GOLDEN=write` writes files that are not there yet, and never changes one that is.
 */
export function golden(path: string, actual: Uint8Array): Uint8Array {
  const file = join(import.meta.dirname, path);
  if (!existsSync(file) && process.env["CAIRN_GOLDEN"] === "write") {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, actual);
  }
  return readFileSync(file);
}

export function goldenJson(path: string, actual: unknown): unknown {
  const bytes = golden(path, Buffer.from(`${JSON.stringify(actual, undefined, 2)}\n`));
  return JSON.parse(Buffer.from(bytes).toString("utf8"));
}
