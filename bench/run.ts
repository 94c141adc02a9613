/**
 * Runs the named scenarios, or all, one after the other, and writes the results into docs/performance.md.
 *
 *   npm run bench
 *   npm run bench -- inbox
 */
import { bulk } from "./bulk.ts";
import { fanOut } from "./fan-out.ts";
import { idleStreams } from "./idle-streams.ts";
import { inbox } from "./inbox.ts";
import { latency } from "./latency.ts";
import { load, sustained } from "./load.ts";
import { manyStreams } from "./many-streams.ts";
import { keep, type Result, toMarkdown } from "./result.ts";
import { scale } from "./scale.ts";
import { storm } from "./storm.ts";
import { writePath } from "./write-path.ts";
import { writers } from "./writers.ts";

const SCENARIOS = new Map<string, () => Promise<Result>>(
  Object.entries({
    writers,
    latency,
    load,
    sustained,
    bulk,
    "idle-streams": idleStreams,
    "many-streams": manyStreams,
    storm,
    "fan-out": fanOut,
    scale,
    "write-path": writePath,
    inbox,
  }),
);

// With the default action nothing would be cleaned up.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));
// Every process that a scenario starts ends with this one.
process.setMaxListeners(100);

const named = process.argv.slice(2);
const unknown = named.filter((name) => !SCENARIOS.has(name));
if (unknown.length > 0) {
  const known = [...SCENARIOS.keys()].join(", ");
  console.error(`There is no scenario ${unknown.join(", ")}. There are: ${known}`);
  process.exit(2);
}
for (const [name, run] of SCENARIOS) {
  if (named.length > 0 && !named.includes(name)) continue;
  const result = await run();
  console.log(toMarkdown(result));
  await keep(result);
}
