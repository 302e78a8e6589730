import { defineConfig } from "vitest/config";

// Tests run in forked processes, one per core: level locks, native handles and process-wide signal
// handlers must not be shared between test files.
export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    include: ["test/**/*.test.ts"],
  },
});
