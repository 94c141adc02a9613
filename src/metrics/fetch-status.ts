import { Status } from "./status.ts";

const TIMEOUT_MS = 2000;

/** The status of the service that runs on this machine. Throws an Error that says what to do, if there is none. */
export async function fetchStatus(metricsPort: number): Promise<Status> {
  const url = `http://localhost:${metricsPort}/status.json`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch((cause) => {
    throw new Error(
      `Nothing answers on ${url}.
Run this where the service runs, in its container if it has one, and with its METRICS_PORT.
If HOST is a single address of this machine, the metrics are only there, and not on localhost.`,
      { cause },
    );
  });
  const status = answer.ok
    ? Status.safeParse(await answer.json().catch(() => undefined))
    : undefined;
  if (status?.success) return status.data;
  throw new Error(
    `What answers on ${url} is not this release of Bellwire (status ${answer.status}).
Set METRICS_PORT to that of the service, and use the program of the same release.`,
  );
}
