import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** The long fault suite. Only `npm run test:faults` runs it. Each test has its own PostgreSQL and service. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/faults/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
