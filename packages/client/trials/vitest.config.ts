import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** The browser's client in real Chromium, behind real proxies, for minutes. Only `npm run test:pages` runs it. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../../..", import.meta.url)),
    include: ["packages/client/trials/**/*.test.ts"],
    globalSetup: ["test/support/build.ts", "test/support/cluster.ts"],
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000, interval: 200 } },
  },
});
