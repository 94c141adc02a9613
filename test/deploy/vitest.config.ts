import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** The files of `deploy/`, run for real. Only `npm run test:deploy` runs it, because it needs programs that CI does not install. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/deploy/**/*.test.ts"],
    globalSetup: ["test/support/build.ts", "test/support/cluster.ts"],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 15_000 } },
  },
});
