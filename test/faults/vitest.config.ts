import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** The long fault suite, by `npm run test:faults` alone: each test has a PostgreSQL and a service of its own. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/faults/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
