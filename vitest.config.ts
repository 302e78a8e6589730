import { defineConfig } from "vitest/config";

// Forked processes, two at a time: level locks, native handles and process-wide signal handlers must not be
// shared between test files. Tests with real daemons come one file after the other: each starts up to ten
// processes, and the machine may have two cores.
export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "fast",
          include: ["test/{unit,property,contract,golden,integration,fuzz}/**/*.test.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          fileParallelism: false,
          // To end what hangs, not to judge what is slow: waits inside have limits of their own.
          testTimeout: 900_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
