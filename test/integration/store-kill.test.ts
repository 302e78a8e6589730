import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { openFileShardStore, openFileSpool, openLevelMetaStore } from "../../src/adapters/store/index.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { prefixed } from "../../src/ports/prefixed-meta-store.ts";
import { bytesNamed, shardId, temporaryDirectory } from "../support/stores.ts";

const PROGRAM = fileURLToPath(new URL("../support/put-loop.ts", import.meta.url));
const ROUNDS = 20;

/** Runs the program, kills it after `lines` lines, and returns what it had printed whole. */
async function runAndKill(home: string, first: number, lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [PROGRAM, home, String(first)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (data: Buffer) => {
    output += data.toString();
    if (output.split("\n").length > lines) child.kill("SIGKILL");
  });
  const [, signal] = await once(child, "close");
  expect(signal).toBe("SIGKILL");
  return output.split("\n").slice(0, -1);
}

it("whatever was reported as put is there whole after kill -9", { timeout: 180_000 }, async () => {
  const home = temporaryDirectory();
  const expected = new Map<number, string>();
  /** The last reported writing of a shard that is replaced again and again; a later one may have been cut. */
  const replaced = new Map<number, number>();
  const spooled = new Set<number>();
  for (let round = 0; round < ROUNDS; round++) {
    const first = round * 100_000;
    for (const line of await runAndKill(home, first, 5 + ((round * 37) % 60))) {
      const [kind, a, b] = line.split(" ");
      if (kind === "shard") expected.set(Number(a), `kill-${a}`);
      if (kind === "again") replaced.set(Number(a), Math.max(Number(b), replaced.get(Number(a)) ?? 0));
      if (kind === "spool") spooled.add(Number(a));
    }
    const database = await openLevelMetaStore(join(home, "db"), SILENT_LOG);
    const index = prefixed(database, utf8("s"));
    const init = { capacityBytes: 2 ** 40, reserve: { bytes: 0, ratio: 0 }, log: SILENT_LOG };
    const store = await openFileShardStore({ directory: join(home, "shards"), index, ...init });
    for (const [n, name] of expected) {
      const bytes = await store.read(shardId(n), 0, 2 ** 20);
      expect(Buffer.from(store.stat(shardId(n))?.note ?? []).toString()).toBe(name);
      expect(Buffer.compare(bytes ?? Buffer.alloc(0), bytesNamed(name, 1 + (n % 7) * 9_000))).toBe(0);
    }
    for (const n of replaced.keys()) {
      const name = Buffer.from(store.stat(shardId(n, 1))?.note ?? []).toString();
      const bytes = await store.read(shardId(n, 1), 0, 2 ** 20);
      expect(Buffer.compare(bytes ?? Buffer.alloc(0), bytesNamed(name, 20_000))).toBe(0);
      // Three writers: a reported one may be replaced by at most two others that began before it.
      expect(Number(name.slice(5))).toBeGreaterThanOrEqual((replaced.get(n) ?? 0) - 15);
    }
    for (const shard of await store.list(undefined, 100_000)) {
      expect((await store.read(shard.id, 0, 2 ** 20))?.length).toBe(shard.bytes);
    }
    await store.close();
    await database.close();
    const spool = await openFileSpool({ directory: join(home, "spool") });
    for (const n of spooled) {
      const bytes = await spool.get(`f-${n}`);
      expect(Buffer.compare(bytes ?? Buffer.alloc(0), bytesNamed(`kill-${n}`, 10_000))).toBe(0);
    }
  }
  expect(expected.size).toBeGreaterThan(ROUNDS);
});
