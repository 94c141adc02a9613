import { startApp } from "./app/app.ts";
import { readConfig } from "./config.ts";
import { createLogger } from "./logger.ts";

/** A running Bellwire service. */
export interface Service {
  /** The base URL of the API: `http://host:port`. */
  readonly url: string;
  readonly metricsUrl: string;
  /** Closes the streams over `DRAIN_SECONDS`, then everything else. */
  close(): Promise<void>;
}

/**
 * Runs the service in this process, as `bellwire start` does. `env` has the variables of the README's table. Unlike the command, this
 * reads neither `process.env` nor `.env`, and handles no signals and no unexpected errors. Resolves when the ports are open. If the
 * database is unavailable, the service waits for it, and `/readyz` says so. Logs to `process.stdout`. Rejects if only a person can solve
 * the problem: the configuration is wrong (with every problem), a port is taken, the schema is too old.
 */
export async function startService(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Service> {
  const config = readConfig({ ...env });
  const app = await startApp(config, createLogger(config.logLevel, process.stdout));
  return { url: app.address, metricsUrl: `${app.metricsAddress}/metrics`, close: app.close };
}
