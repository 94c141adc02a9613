import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Other people's SSE clients, by `npm run test:clients` alone: their packages come from six registries. */
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
