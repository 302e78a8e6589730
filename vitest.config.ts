import { globSync, readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

const e2e = globSync("test/e2e/**/*.test.ts");
/** Nine daemons whose clocks run a hundred times faster keep two cores busy: such a file has the machine for itself. */
const withShortClocks = e2e.filter((file) => /upkeep|"--layer"/.test(readFileSync(file, "utf8")));

// Forked processes, two at a time: level locks, native handles and process-wide signal handlers must not be
// shared between test files. Groups come one after the other.
export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    // To end what hangs, not to judge what is slow: waits inside have limits of their own.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    projects: [
      {
        extends: true,
        test: {
          name: "fast",
          include: ["test/{unit,property,contract,golden,integration,fuzz}/**/*.test.ts"],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: e2e.filter((file) => !withShortClocks.includes(file)),
          sequence: { groupOrder: 1 },
          testTimeout: 900_000,
          hookTimeout: 600_000,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e-clocks",
          include: withShortClocks,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: 900_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
