import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    // Most of the tests wait for other processes; one worker for each core keeps both busy.
    maxWorkers: "100%",
    globalSetup: ["test/support/global-setup.ts"],
  },
});
