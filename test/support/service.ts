import { PassThrough } from "node:stream";
import { expect, onTestFinished, vi } from "vitest";
import { startAppOn } from "../../src/app/app.ts";
import { readConfig } from "../../src/config.ts";
import { asService, createPool } from "../../src/db/pool.ts";
import { createDemo } from "../../src/demo/marketplace.ts";
import { createMinter } from "../../src/http/auth/sign.ts";
import { createLogger } from "../../src/logger.ts";

const SECRET = "a secret that is long enough for HS256";

export interface ServiceOptions {
  databaseUrl: string;
  /** Includes the demo's page and routes. */
  demo?: boolean;
  port?: number;
  /** Environment variables. */
  env?: Record<string, string>;
}

/** A service for one test, closed when the test ends, if not before. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const service = await openService(options);
  onTestFinished(service.close);
  return service;
}

/**
 * The whole service in this process, on a real database and real sockets, with only the rights of bellwire_service. Resolves when it
 * is ready. The caller closes it.
 */
export async function openService({ databaseUrl, demo, port = 0, env = {} }: ServiceOptions) {
  const config = readConfig({
    DATABASE_URL: asService(databaseUrl),
    JWT_SECRET: SECRET,
    HOST: "127.0.0.1",
    PORT: String(port),
    METRICS_PORT: "0",
    DRAIN_SECONDS: "0",
    // All clients of a test share one IP address.
    MAX_NEW_STREAMS_PER_SECOND: "0",
    LOG_LEVEL: "debug",
    ...env,
  });
  if (config.database.kind !== "external") throw new Error("the tests bring their database");
  const lines = new PassThrough();
  let logged = "";
  lines.on("data", (chunk) => {
    logged += chunk;
  });
  const log = createLogger(config.logLevel, lines);
  const pool = createPool({ url: databaseUrl, size: 2, log });
  const app = await startAppOn(
    { ...config.database, ...(demo ? { demo: createDemo(pool) } : {}) },
    config,
    log,
  );

  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= app.close().then(pool.close);
    return closing;
  };

  const url = app.address.replace("localhost", "127.0.0.1");
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), {
    timeout: 15_000,
    interval: 10,
  });

  const mint = createMinter({ ...config.token, key: { kind: "secret", secret: SECRET } });
  return {
    url,
    metricsUrl: `${app.metricsAddress.replace("localhost", "127.0.0.1")}/metrics`,
    token: (recipientId: string, ttlSeconds?: number) => mint(recipientId, ttlSeconds),
    /** Everything the service has logged so far. */
    logged: () => logged,
    close,
  };
}

export type Service = Awaited<ReturnType<typeof openService>>;

/** What a client needs of a service, which may run in this process or in another. */
export type Reachable = Pick<Service, "url" | "token">;

/** Calls the API as a recipient. */
export async function call(
  service: Reachable,
  recipientId: string,
  path: string,
  { method = "GET", body }: { method?: string; body?: unknown } = {},
) {
  const response = await fetch(`${service.url}/api/notifications${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await service.token(recipientId)}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  const answer: any = await response.json();
  return { status: response.status, headers: response.headers, body: answer };
}
