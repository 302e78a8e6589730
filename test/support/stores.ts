import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export { bytesNamed, shardId } from "./named.ts";

/** A directory of its own for one test, removed after it. */
export function temporaryDirectory(parent = tmpdir()): string {
  const path = mkdtempSync(join(parent, "cairn-test-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

/** Calls until it does not throw; the last failure after so long. */
export async function eventually<T>(task: () => Promise<T>, withinMs = 20_000): Promise<T> {
  const endMs = Date.now() + withinMs;
  for (;;) {
    try {
      return await task();
    } catch (error) {
      if (Date.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
