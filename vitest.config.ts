import { defineConfig } from "vitest/config";

/** Tests of the tests, minutes long: `npm run sim:mutations`. */
const mutations = process.env.DATAHAMMER_MUTATIONS !== undefined;

export default defineConfig({
  test: {
    include: mutations ? ["test/**/*.check.ts"] : ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    // Most of the tests wait for other processes; one worker for each core keeps both busy.
    maxWorkers: "100%",
    globalSetup: ["test/support/global-setup.ts"],
  },
});
