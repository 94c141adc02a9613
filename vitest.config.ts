import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const elsewhere = [
  ...configDefaults.exclude,
  "test/faults/**",
  "test/clients/**",
  "test/deploy/**",
];
const UNIT = "**/test/**/*.unit.test.ts";

/** The files that take longest. One that started last would run alone. */
const LONGEST =
  /(mark-all|exactly-once|fuzz|cross-origin|cli|settings|answer-bytes|nginx-faults|held-streams|stream-faults)\.test\.ts$/;

/** Starts the longest files first, then the others in Vitest's order, which without a cache is by their size. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    const isLong = ({ moduleId }: TestSpecification) => LONGEST.test(moduleId);
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

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
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: { name: "unit", include: [UNIT], exclude: elsewhere },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/**/*.test.ts", "packages/*/test/**/*.test.ts"],
          exclude: [...elsewhere, UNIT],
          globalSetup: ["test/support/build.ts", "test/support/cluster.ts"],
        },
      },
    ],
  },
});
