import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "test/faults/**", "test/clients/**"],
    globalSetup: ["test/support/cluster.ts"],
    // By itself vitest leaves a core out, which on two makes it one file after another.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
