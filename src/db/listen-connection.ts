import { randomUUID } from "node:crypto";
import { Socket } from "node:net";
import type { Pool } from "pg";
import pgListen from "pg-listen";
import { KEEP_ALIVE } from "./pool.ts";

const CHANNEL = "bellwire";
/** Nobody notifies it. */
const ANSWER = "bellwire_answer";

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const TOO_MANY_NOTIFICATIONS = "54000";

export interface ListeningOptions {
  url: string;
  onWakeUp: () => void;
  onListening: () => void;
  onProbe: (probe: Probe) => void;
  pool: Pool;
  probeMs?: number;
  probeTimeoutMs?: number;
}

/** What a probe that came back has told. */
export interface Probe {
  /** From before it was sent to when it was heard, in milliseconds. */
  readonly ms: number;
  /** Wake-ups are suspended for good (`bellwire.suspend_wakeups()`): nothing was sent, and nothing need be heard. */
  readonly isSuspended: boolean;
}

/** The connection is there, and a NOTIFY did not come through it. */
export class DeafError extends Error {
  /** Whether this connection has heard one before. */
  readonly hasHeard: boolean;

  constructor(hasHeard: boolean) {
    super("The LISTEN connection did not hear its probe");
    this.hasHeard = hasHeard;
  }
}

/** The other connection could not send the probe: nothing is known of this one. `cause` says why. */
export class UnsentError extends Error {
  constructor(cause: unknown) {
    super("The probe could not be sent", { cause });
  }
}

/**
 * One LISTEN connection, from its first byte to its end. `ended` resolves with what ended it.
 *
 * A connection can look well and be deaf: half open, a standby, a pooler in between. So every `probeMs`
 * another connection sends a nonce and this one must hear it within `probeTimeoutMs`; else its socket is
 * destroyed.
 */
export function listen(options: ListeningOptions): { ended: Promise<unknown>; close(): void } {
  const { url, onWakeUp, onListening, onProbe, pool } = options;
  const { probeMs = 10_000, probeTimeoutMs = 5000 } = options;
  // Our own socket, so that it can be destroyed: end() on a half-open one waits for ever.
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
    // pg-listen reconnects only within limits and without asking whether LISTEN worked: it is told
    // never to (a limit of 1 is none), and a new subscriber is made instead.
    { parse: (payload) => payload, paranoidChecking: false, retryLimit: 1 },
  );
  let isClosed = false;
  let isEnded = false;
  let end: (reason: unknown) => void = () => {};
  const broken = new Promise<unknown>((resolve) => {
    end = resolve;
    subscriber.events.on("error", resolve);
  });

  let hear: (payload: string) => void = () => {};
  subscriber.notifications.on(CHANNEL, (payload: string | undefined) => {
    if (payload?.startsWith("probe:")) hear(payload);
    else onWakeUp();
  });

  let hasHeard = false;
  async function probe(): Promise<void> {
    const nonce = `probe:${randomUUID()}`;
    const sentAt = performance.now();
    let timer: NodeJS.Timeout | undefined;
    let giveUp = () => {};
    const heard = new Promise<boolean>((resolve) => {
      hear = (payload) => payload === nonce && resolve(true);
      giveUp = () => resolve(false);
    });
    try {
      const { isSuspended, isFull } = await sendProbe(pool, nonce).catch((err) => {
        if (codeOf(err) === TOO_MANY_NOTIFICATIONS) return { isSuspended: false, isFull: true };
        throw new UnsentError(err);
      });
      // Only now: before, it may have waited for somebody else's commit.
      timer = setTimeout(giveUp, probeTimeoutMs);
      if (isFull) await answers();
      else if (!isSuspended && !(await heard)) throw new DeafError(hasHeard);
      hasHeard = true;
      if (!isEnded) onProbe({ ms: performance.now() - sentAt, isSuspended });
    } finally {
      clearTimeout(timer);
    }
  }

  /** The connection answers what it is asked: as good as a NOTIFY can be known, when none may be sent. */
  async function answers(): Promise<void> {
    try {
      await subscriber.listenTo(ANSWER);
      await subscriber.unlisten(ANSWER);
    } catch {
      throw new DeafError(hasHeard);
    }
  }

  let nextProbe: NodeJS.Timeout | undefined;
  async function keepProbing(): Promise<void> {
    while (!isEnded) {
      await probe();
      if (isEnded) return;
      await new Promise((resolve) => {
        nextProbe = setTimeout(resolve, probeMs);
      });
    }
  }

  async function live(): Promise<unknown> {
    try {
      await Promise.race([subscriber.connect(), broken.then(raise)]);
      await Promise.race([subscriber.listenTo(CHANNEL), broken.then(raise)]);
      onListening();
      return await Promise.race([broken, keepProbing()]);
    } catch (err) {
      return err;
    } finally {
      isEnded = true;
      clearTimeout(nextProbe);
      subscriber.close().catch(() => {}); // it is being thrown away; the socket decides
      if (isClosed) setTimeout(() => socket.destroy(), 1000).unref();
      else socket.destroy();
    }
  }

  return {
    ended: live(),
    close() {
      isClosed = true;
      end(new Error("closed"));
    },
  };
}

/**
 * Sends a NOTIFY unless wake-ups are suspended for good: whoever suspends them wants none of its lock either; or the queue is
 * half full (see `watchNotifyQueue`). The lock may be held by a commit that waits for a standby; without a limit each probe's
 * backend would wait for it long after we have gone.
 */
async function sendProbe(pool: Pool, payload: string) {
  const { rows } = await pool.query<{ is_suspended: boolean; is_full: boolean }>(
    `select set_config('lock_timeout', '5s', true), -- counts at COMMIT, too
            state.is_suspended,
            state.is_full,
            case when not state.is_suspended and not state.is_full then pg_notify($1, $2) end
       from (
              select last_value = 1 as is_suspended,
                     pg_notification_queue_usage() > 0.5 as is_full
                from bellwire.wakeups_suspended_for_good
              offset 0
            ) state`,
    [CHANNEL, payload],
  );
  const [row] = rows;
  if (!row) throw new Error("a sequence has one row");
  return { isSuspended: row.is_suspended, isFull: row.is_full };
}

const codeOf = (err: unknown) => (err instanceof Error && "code" in err ? err.code : undefined);

function raise(error: unknown): never {
  throw error;
}
