import { startApp } from "./app/app.ts";
import { readConfig } from "./config.ts";
import { createLogger } from "./logger.ts";

/** A running Bellwire service. */
export interface Service {
  /** The base URL of the API: `http://host:port`. */
  readonly url: string;
  readonly metricsUrl: string;
  /** Ends the streams over `DRAIN_SECONDS`, then everything else. */
  close(): Promise<void>;
}

/**
 * Runs the service in this process, as `bellwire start` does. `env` has the variables of the README's table; `process.env` and `.env` are
 * read only by the command, and signals and unexpected errors are left to you. Resolves when the service listens. An unavailable
 * database is waited for, as `/readyz` says. Rejects if the configuration is wrong, with every problem, or if a port is taken.
 */
export async function startService(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Service> {
  const config = readConfig({ ...env });
  const app = await startApp(config, createLogger(config.logLevel));
  return { url: app.address, metricsUrl: `${app.metricsAddress}/metrics`, close: app.close };
}
