import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Pool } from "pg";
import pgListen from "pg-listen";
import { KEEP_ALIVE } from "./pool.ts";
import { CHANNEL, createProber, isProbe, type ProbeResult } from "./probe.ts";

/** A channel that nobody notifies. LISTEN and UNLISTEN on it check that the connection answers. */
const PING_CHANNEL = "bellwire_answer";

/** How long a closed connection may take to tell the server that it ends. */
const GOODBYE_MS = 1000;

export interface ListeningOptions {
  url: string;
  onWakeUp: () => void;
  onListening: () => void;
  onProbe: (result: ProbeResult) => void;
  /** Sends the probes. */
  pool: Pool;
  probeMs?: number;
  probeTimeoutMs?: number;
}

/**
 * One LISTEN connection, from connecting to its end. It ends when it breaks, when a probe is not heard (see `createProber`), or
 * when `close` is called. `ended` resolves with the first of these reasons.
 */
export function listen(options: ListeningOptions): { ended: Promise<unknown>; close(): void } {
  const { url, onWakeUp, onListening, onProbe, pool } = options;
  const { probeMs = 10_000, probeTimeoutMs = 5000 } = options;
  // We create the socket, so that we can destroy it: on a half-open connection `end()` waits for ever.
  const socket = new Socket();
  const subscriber = pgListen.default(
    {
      connectionString: url,
      application_name: "bellwire listener",
      connectionTimeoutMillis: 5000,
      query_timeout: 5000,
      stream: () => socket,
      ...KEEP_ALIVE,
    },
    // pg-listen gives up reconnecting after a limit, and does not check whether its LISTEN worked. So it must never
    // reconnect (a limit of 1 allows no attempt), and the caller makes a new connection instead.
    { parse: (payload) => payload, paranoidChecking: false, retryLimit: 1 },
  );
  /** Aborted when the connection ends. It keeps the first reason. */
  const life = new AbortController();
  const { signal } = life;
  const closed = new Error("closed");
  subscriber.events.on("error", (err) => life.abort(err));

  const prober = createProber({
    pool,
    timeoutMs: probeTimeoutMs,
    async ping() {
      await subscriber.listenTo(PING_CHANNEL);
      await subscriber.unlisten(PING_CHANNEL);
    },
  });
  subscriber.notifications.on(CHANNEL, (payload = "") => {
    if (isProbe(payload)) prober.receive(payload);
    else onWakeUp();
  });

  async function run(): Promise<never> {
    // The connection may end during each step. Then the next step must not begin.
    await subscriber.connect();
    signal.throwIfAborted();
    await subscriber.listenTo(CHANNEL);
    signal.throwIfAborted();
    onListening();
    for (;;) {
      const result = await prober.probe();
      signal.throwIfAborted();
      onProbe(result);
      await delay(probeMs, undefined, { signal });
    }
  }

  async function end(): Promise<unknown> {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    subscriber.close().catch(() => {}); // it may never be answered, so the socket is destroyed too
    if (signal.reason === closed) setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
    else socket.destroy();
    return signal.reason;
  }

  const ended = end();
  // If the connection has already ended, this abort changes nothing.
  run().catch((err) => life.abort(err));
  return { ended, close: () => life.abort(closed) };
}
