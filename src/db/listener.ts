import { randomUUID } from "node:crypto";
import { Socket } from "node:net";
import type { Pool } from "pg";
import pgListen from "pg-listen";
import type { Logger } from "../logger.ts";
import { KEEP_ALIVE } from "./pool.ts";

const CHANNEL = "bellwire";

export interface ListenerOptions {
  /** A direct connection to the primary: no transaction pooler passes LISTEN on. */
  url: string;
  /** Somebody committed something. The payload says nothing and is not looked at. */
  onWakeUp: () => void;
  /** LISTEN has just been set up, for the first time or again. */
  onListening: () => void;
  /** The connections that send the probes. */
  pool: Pool;
  log: Logger;
  probeMs?: number;
  probeTimeoutMs?: number;
}

export interface Listener {
  /** Whether it has lately heard its own probe. */
  isListening(): boolean;
  close(): Promise<void>;
}

/**
 * The one LISTEN connection. Begins at once, tries for ever, and never rejects.
 *
 * A connection can look well and be deaf: half open, a standby, a pooler in between. So every `probeMs`
 * another connection sends a nonce and this one must hear it within `probeTimeoutMs`; else the
 * socket is destroyed and a new connection made.
 */
export function createListener(options: ListenerOptions): Listener {
  const { url, onWakeUp, onListening, pool, log } = options;
  const { probeMs = 10_000, probeTimeoutMs = 5000 } = options;
  let isClosed = false;
  let hasHeard = false;
  let closeConnection: ((reason: Error) => void) | undefined;
  let wait: { timer: NodeJS.Timeout; end: () => void } | undefined;

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      wait = { timer: setTimeout(resolve, ms), end: resolve };
    });

  /** One connection's life. Resolves with what ended it. */
  async function listen(onHeard: () => void): Promise<unknown> {
    // Our own socket, so that it can be destroyed: end() on a half-open one waits for ever.
    const socket = new Socket();
    let hear: (payload: string) => void = () => {};
    const subscriber = pgListen.default(
      {
        connectionString: url,
        application_name: "bellwire listener",
        connectionTimeoutMillis: 5000,
        query_timeout: 5000,
        stream: () => socket,
        ...KEEP_ALIVE,
      },
      // pg-listen reconnects only within limits and without asking whether LISTEN worked: it is told
      // never to (a limit of 1 is none), and `run` makes a new subscriber instead.
      { parse: (payload) => payload, paranoidChecking: false, retryLimit: 1 },
    );
    const ended = new Promise<unknown>((resolve) => {
      closeConnection = resolve;
      subscriber.events.on("error", resolve);
    });
    subscriber.notifications.on(CHANNEL, (payload: string | undefined) => {
      if (payload?.startsWith("probe:")) hear(payload);
      else onWakeUp();
    });

    async function probe(): Promise<void> {
      const payload = `probe:${randomUUID()}`;
      let timer: NodeJS.Timeout | undefined;
      const heard = new Promise<boolean>((resolve) => {
        hear = (text) => text === payload && resolve(true);
        timer = setTimeout(resolve, probeTimeoutMs, false);
      });
      try {
        await pool.query("select pg_notify($1, $2)", [CHANNEL, payload]);
        if (!(await heard)) throw new Error(DEAF);
        onHeard();
      } finally {
        clearTimeout(timer);
      }
    }

    let nextProbe: NodeJS.Timeout | undefined;
    async function keepProbing(): Promise<unknown> {
      for (;;) {
        await probe();
        await new Promise((resolve) => {
          nextProbe = setTimeout(resolve, probeMs);
        });
      }
    }

    try {
      await Promise.race([subscriber.connect(), ended.then(raise)]);
      await Promise.race([subscriber.listenTo(CHANNEL), ended.then(raise)]);
      onListening();
      return await Promise.race([ended, keepProbing()]);
    } catch (error) {
      return error;
    } finally {
      clearTimeout(nextProbe);
      subscriber.close().catch(() => {}); // it is being thrown away; the socket decides
      if (isClosed) setTimeout(() => socket.destroy(), 1000).unref();
      else socket.destroy();
    }
  }

  async function run() {
    for (let attempt = 0; !isClosed; attempt++) {
      const err = await listen(() => {
        if (!hasHeard) log.info({ channel: CHANNEL }, "listening");
        hasHeard = true;
        attempt = 0;
      });
      if (isClosed) return;
      if (hasHeard || attempt === 0)
        log.warn({ err }, "not listening; trying again until it works");
      hasHeard = false;
      await pause(backoffMs(attempt));
    }
  }

  const running = run();

  return {
    isListening: () => hasHeard,
    async close() {
      isClosed = true;
      clearTimeout(wait?.timer);
      wait?.end();
      closeConnection?.(new Error("closed"));
      await running;
    },
  };
}

const DEAF =
  "The LISTEN connection does not hear NOTIFY. It must be a direct connection to the primary: " +
  "not through a pooler in transaction mode (set DIRECT_DATABASE_URL) and not to a standby.";

function raise(error: unknown): never {
  throw error;
}

/** Up to 250 ms, 500 ms, 1 s … 10 s, half of it by chance, so that a fleet does not come back at once. */
function backoffMs(attempt: number): number {
  const full = Math.min(10_000, 250 * 2 ** attempt);
  return full / 2 + (Math.random() * full) / 2;
}
