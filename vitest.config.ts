import { configDefaults, defineConfig } from "vitest/config";

const elsewhere = [...configDefaults.exclude, "test/faults/**", "test/clients/**"];
const UNIT = "test/**/*.unit.test.ts";

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Vitest waits a second for what a test waits for; on a busy machine the service takes longer to start.
    expect: { poll: { timeout: 15_000 } },
    // Nothing here keeps a state in a module, so one module graph serves all files of a worker.
    isolate: false,
    // Many tests wait, so two files at a time leave two cores idle for a third of the time.
    maxWorkers: 4,
    projects: [
      {
        extends: true,
        test: { name: "unit", include: [UNIT], exclude: elsewhere },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/**/*.test.ts"],
          exclude: [...elsewhere, UNIT],
          globalSetup: ["test/support/build.ts", "test/support/cluster.ts"],
        },
      },
    ],
  },
});
