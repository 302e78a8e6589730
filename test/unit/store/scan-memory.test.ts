import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openLevelMetaStore } from "../../../src/adapters/store/index.ts";
import { u32be } from "../../../src/base/bytes.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { KIB, MIB } from "../../../src/base/units.ts";
import { scratchDirectories } from "../../support/scratch.ts";

const scratch = scratchDirectories();
const ENTRIES = 40_000;
const BATCH = 1000;
const PASSES = 8;
/** A table in the database is mapped, which is not counted; each pass without collecting keeps more than its 40 MB. */
const GROWTH_MAX_BYTES = 160 * MIB;

/** Of this process, without mapped files. */
function ownBytes(): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * KIB;
}

test.runIf(process.platform === "linux")(
  "going through a database again and again keeps a few pages of it in memory, not all",
  { timeout: 120_000 },
  async () => {
    const store = await openLevelMetaStore(scratch(), SILENT_LOG);
    const value = new Uint8Array(KIB);
    for (let first = 0; first < ENTRIES; first += BATCH) {
      const keys = Array.from({ length: BATCH }, (_, at) => u32be(first + at));
      await store.write(
        keys.map((key) => ({ type: "put" as const, key, value })),
        { sync: false },
      );
    }
    const before = ownBytes();
    let seen = 0;
    for (let pass = 0; pass < PASSES; pass++) for await (const _ of store.scan({})) seen++;
    expect(seen).toBe(PASSES * ENTRIES);
    expect(ownBytes() - before).toBeLessThan(GROWTH_MAX_BYTES);
    await store.close();
  },
);
