import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Public SSE clients. Only `npm run test:clients` runs them, because their packages come from six registries. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/clients/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 900_000,
  },
});
