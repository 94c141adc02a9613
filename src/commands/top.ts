import { setTimeout as sleep } from "node:timers/promises";
import { readMetricsConfig } from "../config.ts";
import { EXIT } from "../exit-code.ts";
import { loadConfig } from "../main.ts";
import { fetchStatus } from "../metrics/fetch-status.ts";
import type { Status } from "../metrics/status.ts";
import { drawScreen } from "../top/screen.ts";
import { openTerminal } from "../top/terminal.ts";
import { createCommand, type Outcome } from "./command.ts";

const REFRESH_MS = 1000;

export const command = createCommand({
  help: `bellwire top

Shows the service on this machine, every second: who is connected, rates, lag, health, the last errors. q ends it. In a pipe it prints
that once, and exits with 1 if the health has warnings, with 2 if it has problems. Reads METRICS_PORT.`,
  async run() {
    const { metricsPort } = loadConfig(readMetricsConfig);
    const first = await fetchStatus(metricsPort);
    if (process.stdout.isTTY) return watch(metricsPort, first);
    await sleep(REFRESH_MS);
    return toOutcome(first, await fetchStatus(metricsPort));
  },
});

function toOutcome(before: Status, now: Status): Outcome {
  const text = drawScreen(before, now).join("\n");
  const { problems, warnings } = now.health;
  if (problems.length > 0) return { text, exitCode: EXIT.broken };
  return warnings.length > 0 ? { text, exitCode: EXIT.look } : { text };
}

/** While nothing answers, it says so above the last screen: the service may be restarting. */
async function watch(metricsPort: number, first: Status): Promise<never> {
  const terminal = openTerminal(process.stdin, process.stdout);
  let [before, now] = [first, first];
  let lost: string[] = [];
  for (;;) {
    terminal.draw([...lost, ...drawScreen(before, now)]);
    await sleep(REFRESH_MS);
    try {
      [before, now] = [now, await fetchStatus(metricsPort)];
      lost = [];
    } catch (err) {
      lost = [...String(err instanceof Error ? err.message : err).split("\n"), ""];
    }
  }
}
