import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openLevelMetaStore } from "../../../src/adapters/store/index.ts";
import { LevelDatabase } from "../../../src/adapters/store/level-database.ts";
import { AssertionFailure } from "../../../src/base/assert.ts";
import { u32be } from "../../../src/base/bytes.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { bytesNamed, temporaryDirectory } from "../../support/stores.ts";

const STORE = fileURLToPath(new URL("../../../src/adapters/store/index.ts", import.meta.url));

/** What another process gets when it opens the directory: "open", or the code of the fault. */
function openElsewhere(directory: string): string {
  const program = `
    import { openLevelMetaStore } from ${JSON.stringify(STORE)};
    const ignore = () => {};
    try {
      await openLevelMetaStore(process.argv[1], { debug: ignore, info: ignore, warn: ignore, error: ignore });
      console.log("open");
    } catch (error) {
      console.log(error.detail?.code ?? error.message);
    }`;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", program, directory]);
  return result.stdout.toString().trim();
}

describe("openLevelMetaStore", () => {
  it("is refused a second time in this process without giving the lock away, and to another process", async () => {
    const directory = join(temporaryDirectory(), "db");
    const store = await openLevelMetaStore(directory, SILENT_LOG);
    expect(openElsewhere(directory)).toBe("HOME_LOCKED");
    await expect(openLevelMetaStore(join(directory, "..", "db"), SILENT_LOG)).rejects.toThrow(
      AssertionFailure,
    );
    expect(openElsewhere(directory)).toBe("HOME_LOCKED");
    await store.close();
    expect(openElsewhere(directory)).toBe("open");
    await (await openLevelMetaStore(directory, SILENT_LOG)).close();
  });

  it("removes what a replacement that was cut short left, and opens the one that ACTIVE names", async () => {
    const directory = join(temporaryDirectory(), "db");
    const first = await openLevelMetaStore(directory, SILENT_LOG);
    await first.write([{ type: "put", key: u32be(1), value: u32be(1) }], { sync: true });
    await first.close();
    mkdirSync(join(directory, "db-2"));
    writeFileSync(join(directory, "db-2", "CURRENT"), "half");
    writeFileSync(join(directory, "ACTIVE.tmp"), "db-");
    const again = await openLevelMetaStore(directory, SILENT_LOG);
    expect(again.get(u32be(1))).toBeDefined();
    expect(readdirSync(directory)).toEqual(["db-1"]);
    await again.close();
    writeFileSync(join(directory, "ACTIVE"), "../elsewhere\n");
    await expect(openLevelMetaStore(directory, SILENT_LOG)).rejects.toMatchObject({
      detail: { code: "FORMAT_INVALID" },
    });
  });
});

describe("unsynced writes", () => {
  const put = (n: number, bytes: number) => ({
    type: "put" as const,
    key: u32be(n),
    value: bytesNamed(`${n}`, bytes),
  });

  it("are synced by the next synced write, before it", async () => {
    const synced: string[] = [];
    const database = await LevelDatabase.open(temporaryDirectory(), { onSync: (name) => synced.push(name) });
    synced.length = 0;
    await database.write([put(1, 100)], true);
    expect(synced).toEqual([]);
    await database.write([put(2, 100)], false);
    await database.write([put(3, 100)], true);
    expect(synced).toEqual([expect.stringMatching(/\.log$/)]);
    await database.write([put(4, 100)], true);
    expect(synced.length).toBe(1);
    await database.close();
  });

  it("in a log that LevelDB leaves behind are synced at that time", async () => {
    const synced: string[] = [];
    const directory = temporaryDirectory();
    const database = await LevelDatabase.open(directory, { onSync: (name) => synced.push(name) });
    synced.length = 0;
    let logs = 0;
    let before = "";
    for (let n = 0; n < 2_000; n++) {
      await database.write([put(n, 10_000)], false);
      const newest =
        readdirSync(directory)
          .filter((name) => name.endsWith(".log"))
          .sort()
          .at(-1) ?? "";
      if (before !== "" && newest !== before) {
        logs++;
        // The old one, unless LevelDB had moved it into a table already, and the new one's name.
        expect(synced.filter((name) => name === ".").length).toBe(logs);
      }
      before = newest;
    }
    expect(logs).toBeGreaterThanOrEqual(3);
    expect(synced.some((name) => name.endsWith(".log"))).toBe(true);
    await database.close();
  });
});
