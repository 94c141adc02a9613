import { randomUUID } from "node:crypto";
import type { Pool } from "pg";

/** The channel of the wake-ups, and of the probes. */
export const CHANNEL = "bellwire";

const PREFIX = "probe:";

export const isProbe = (payload: string): boolean => payload.startsWith(PREFIX);

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const PROGRAM_LIMIT_EXCEEDED = "54000"; // the answer to pg_notify() when the queue of notifications is full

export interface ProbeResult {
  /** Time from before the probe was sent until it was heard, in milliseconds. */
  readonly ms: number;
  /** Wake-ups are suspended for good (`bellwire.suspend_wakeups()`), so no probe was sent. */
  readonly isSuspended: boolean;
}

/** The connection is open, but a NOTIFY did not arrive through it. */
export class DeafError extends Error {
  /** Whether this connection has heard an earlier probe. */
  readonly hasHeard: boolean;

  constructor(hasHeard: boolean) {
    super("The LISTEN connection did not hear its probe");
    this.hasHeard = hasHeard;
  }
}

/** The pool could not send the probe, so the LISTEN connection may be all right. `cause` says why. */
export class UnsentError extends Error {
  constructor(cause: unknown) {
    super("The probe could not be sent", { cause });
  }
}

export interface ProberOptions {
  /** Sends the probes. */
  pool: Pool;
  timeoutMs: number;
  /** Resolves when the LISTEN connection answers a statement. */
  ping: () => Promise<void>;
}

/**
 * Finds out whether a LISTEN connection hears NOTIFY. A connection may look all right and be deaf: half open, behind a pooler, or on
 * a standby. So another connection sends a NOTIFY with a nonce, and the LISTEN connection must hear that nonce in time. Call
 * `receive` with the payload of every probe that it hears.
 */
export function createProber({ pool, timeoutMs, ping }: ProberOptions) {
  let onHeard: (payload: string) => void = () => {};
  let hasHeard = false;

  /** Throws DeafError or UnsentError. */
  async function probe(): Promise<ProbeResult> {
    const nonce = `${PREFIX}${randomUUID()}`;
    const startedAt = performance.now();
    // Wait from before sending, because the LISTEN connection may hear the nonce before the pool's query returns.
    const heard = new Promise<void>((resolve) => {
      onHeard = (payload) => {
        if (payload === nonce) resolve();
      };
    });
    const outcome = await sendNotify(pool, nonce);
    // The time limit begins after sending, so that it does not include the wait for another session's commit.
    const isWell =
      outcome === "suspended" ||
      (outcome === "queue_full" ? await succeeds(ping()) : await resolvesIn(heard, timeoutMs));
    if (!isWell) throw new DeafError(hasHeard);
    hasHeard = true;
    return { ms: performance.now() - startedAt, isSuspended: outcome === "suspended" };
  }

  return { probe, receive: (payload: string) => onHeard(payload) };
}

type Outcome = "sent" | "suspended" | "queue_full";

/**
 * Sends a NOTIFY, with two exceptions. If wake-ups are suspended for good, it sends none, because the DBA who suspended them does
 * not want NOTIFY's lock either. If the queue is half full, it must not send one (see `watchNotifyQueue`); then only `ping` can
 * show that the connection is alive.
 *
 * A commit that waits for a standby may hold NOTIFY's lock. Without a lock timeout, each probe's backend would still wait for it
 * long after the pool has given up.
 */
async function sendNotify(pool: Pool, payload: string): Promise<Outcome> {
  try {
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
    if (row.is_suspended) return "suspended";
    return row.is_full ? "queue_full" : "sent";
  } catch (err) {
    if (err instanceof Error && "code" in err && err.code === PROGRAM_LIMIT_EXCEEDED)
      return "queue_full";
    throw new UnsentError(err);
  }
}

const succeeds = (promise: Promise<unknown>): Promise<boolean> =>
  promise.then(
    () => true,
    () => false,
  );

function resolvesIn(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, false);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
