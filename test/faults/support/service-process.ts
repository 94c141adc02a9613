import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { asService } from "../../../src/db/pool.ts";
import { createMinter } from "../../../src/http/auth/sign.ts";
import { CLI } from "../../support/cli.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { parseMetrics } from "./metrics.ts";
import { findPort } from "./ports.ts";

const SECRET = "a secret that is long enough for HS256";
const START_LIMIT_MS = 60_000;

export interface ServiceProcessOptions {
  /** With a user that may become bellwire_service. The service runs as that role. */
  databaseUrl: string;
  /** For LISTEN. */
  directUrl?: string;
  /** Overrides the environment that is set here. */
  env?: Record<string, string>;
  port?: number;
}

/** How a process ended. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The time since its signal. It is 0 without one. */
  afterMs: number;
}

/** A line of the service's log. */
export interface LogLine {
  level: number;
  time: string;
  msg: string;
  [field: string]: unknown;
}

export type ServiceProcess = Awaited<ReturnType<typeof startServiceProcess>>;

/**
 * The service in its own process, which a test may kill and start again on the same ports. Resolves when it answers
 * `/livez`, which needs no database.
 */
export async function startServiceProcess(options: ServiceProcessOptions) {
  const { databaseUrl, directUrl, env = {} } = options;
  const port = options.port ?? (await findPort());
  const metricsPort = await findPort();
  const url = `http://127.0.0.1:${port}`;
  const metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`;
  const lines: LogLine[] = [];
  let said = "";
  let written = "";
  /** Exits without a signal from the test. */
  const exits: Exit[] = [];
  let running: { child: ChildProcess; ended: Promise<Exit>; toldAt?: number } | undefined;

  function launch() {
    const child = spawn(process.execPath, [CLI, "start"], {
      cwd: tmpdir(), // away from any `.env`
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: asService(databaseUrl),
        ...(directUrl === undefined ? {} : { DIRECT_DATABASE_URL: asService(directUrl) }),
        JWT_SECRET: SECRET,
        HOST: "127.0.0.1",
        PORT: `${port}`,
        METRICS_PORT: `${metricsPort}`,
        // All clients of a test have the same IP address.
        MAX_NEW_STREAMS_PER_SECOND: "0",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("{")) lines.push(JSON.parse(line));
    });
    child.stdout.on("data", (chunk) => {
      written += chunk;
    });
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const launched: NonNullable<typeof running> = {
      child,
      ended: once(child, "exit").then(([code, signal]) => {
        const { toldAt } = launched;
        const now = performance.now();
        const exit = { code, signal, afterMs: now - (toldAt ?? now) };
        if (toldAt === undefined) exits.push(exit);
        if (running === launched) running = undefined;
        return exit;
      }),
    };
    running = launched;
  }

  async function start(): Promise<void> {
    launch();
    const isAlive = await poll(START_LIMIT_MS, async () => {
      if (!running) throw new Error(`the service ended at its start; it said:\n${said}`);
      return (await statusOf("/livez")) === 200;
    });
    if (!isAlive) throw new Error(`the service does not answer; it said:\n${said}`);
  }

  async function statusOf(path: string): Promise<number | undefined> {
    const response = await fetch(url + path, { signal: AbortSignal.timeout(5000) }).catch(() => {});
    await response?.text();
    return response?.status;
  }

  /** Sends the signal and does not wait. */
  function signal(name: NodeJS.Signals): void {
    if (!running) throw new Error("the service does not run");
    if (name !== "SIGSTOP" && name !== "SIGCONT") running.toldAt ??= performance.now();
    running.child.kill(name);
  }

  /** Sends the signal and waits for the exit. */
  async function kill(name: NodeJS.Signals = "SIGKILL"): Promise<Exit> {
    if (!running) throw new Error("the service does not run");
    const { ended } = running;
    signal(name);
    return await ended;
  }

  async function close(): Promise<void> {
    if (running) await kill("SIGKILL");
  }
  closeAfterTest(close);

  await start();
  const mint = createMinter({
    key: { kind: "secret", secret: SECRET },
    issuer: undefined,
    audience: undefined,
    userClaim: "sub",
  });
  return {
    url,
    port,
    metricsUrl,
    exits,
    /** Undefined while it does not run. */
    pid: () => running?.child.pid,
    token: (recipientId: string, ttlSeconds = 86_400) => mint(recipientId, ttlSeconds),
    /** The metrics now: `(await service.metrics())("bellwire_delivered_total", { event: "state" })`. */
    async metrics() {
      return parseMetrics(await (await fetch(metricsUrl)).text());
    },
    async readiness(): Promise<{
      status: number;
      body: { status: string; problems: string[]; warnings: string[] };
    }> {
      const response = await fetch(`${url}/readyz`);
      return { status: response.status, body: (await response.json()) as never };
    },
    /** The log of all its processes. */
    logs: (): readonly LogLine[] => lines,
    /** The stderr of all its processes. */
    said: () => said,
    /** The stdout and stderr of all its processes. */
    written: () => written + said,
    async waitUntilReady(timeoutMs = 30_000): Promise<void> {
      if (await poll(timeoutMs, async () => (await statusOf("/readyz")) === 200)) return;
      throw new Error(`the service was not ready within ${timeoutMs} ms`);
    },
    signal,
    kill,
    start,
    /** Resolves when the new process answers `/livez`. */
    async restart(name: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
      const exit = await kill(name);
      await start();
      return exit;
    },
    close,
  };
}

/** Asks every 50 ms. Resolves with false after the time limit. */
async function poll(limitMs: number, ask: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + limitMs;
  for (;;) {
    if (await ask()) return true;
    if (performance.now() > end) return false;
    await delay(50);
  }
}
