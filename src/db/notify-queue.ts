import type { Pool } from "pg";
import type { Logger } from "../logger.ts";
import { watchQueueSuspects } from "./queue-suspects.ts";

export interface NotifyQueueOptions {
  pool: Pool;
  /** Suspends wake-ups for this long. */
  suspendWakeups: (ms: number) => Promise<void>;
  /** True: from now on no wake-ups are sent, so readers must not wait for one. False: they are sent again. */
  onHeldChange: (isHeld: boolean) => void;
  log: Logger;
  lookMs?: number;
}

/** At which usage of the queue (0 to 1) it warns, suspends wake-ups, and resumes them. */
export const WARN_ABOVE = 0.1;
export const SUSPEND_ABOVE = 0.5;
const RESUME_BELOW = 0.25;

/** To find the session that blocks the queue, all locks of the cluster must be read. So it is not done more often than this. */
const EXPLAIN_MS = 5000;

const LEASE_MS = 1000;
/** A little more often than twice per lease. */
const RENEW_MS = 400;

/**
 * Watches PostgreSQL's queue of notifications. The cluster has one queue, which keeps what any listening session has not read. A
 * single session, of any role and in any database, blocks it if it listens and stays in a transaction, or if its client does not
 * read. When the queue is full, every transaction that notifies fails at its commit, where no handler can catch that. So when the
 * queue is half full, this suspends wake-ups, whatever `WAKEUPS_PER_SECOND_BUSY` says. The service then reads without wake-ups until
 * the queue has emptied.
 *
 * The query for the usage also moves the queue's tail. Otherwise only a NOTIFY moves it, and while wake-ups are suspended none is sent.
 */
export function watchNotifyQueue(options: NotifyQueueOptions) {
  const { pool, suspendWakeups, onHeldChange, log, lookMs = 1000 } = options;
  let usage = 0;
  let isHeld = false;
  let isClosed = false;
  let warning: string | undefined;
  let explainedAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  const suspects = watchQueueSuspects(pool);

  async function look() {
    const { rows } = await pool.query<{ usage: number }>(
      "select pg_notification_queue_usage() as usage",
    );
    usage = rows[0]?.usage ?? 0;
    const mustHold = usage > (isHeld ? RESUME_BELOW : SUSPEND_ABOVE);
    if (mustHold) await suspendWakeups(LEASE_MS);
    if (mustHold !== isHeld) {
      isHeld = mustHold;
      explainedAt = Number.NEGATIVE_INFINITY;
      onHeldChange(isHeld);
      logHeld();
    }
    await explain();
  }

  function logHeld() {
    if (isHeld) log.error({ usage }, "the notification queue is half full: wake-ups are suspended");
    else log.info({ usage }, "the notification queue has emptied: wake-ups are sent again");
  }

  async function explain() {
    if (usage <= WARN_ABOVE) {
      if (warning) log.info("the notification queue no longer fills");
      warning = undefined;
      explainedAt = Number.NEGATIVE_INFINITY;
      suspects.forget();
      return;
    }
    if (performance.now() - explainedAt < EXPLAIN_MS) return;
    explainedAt = performance.now();
    const isNew = warning === undefined;
    const holder = await suspects.findHolder();
    const full = `the notification queue fills (${Math.round(usage * 100)} %): some session listens and does not read`;
    warning = `${full}${holder ? `, probably ${holder}` : ""}${isHeld ? "; wake-ups are suspended, and rows arrive with the sweep" : ""}`;
    if (isNew) log.warn({ usage, holder }, full);
  }

  async function keepLooking() {
    await look().catch((err) => {
      // If the database is unavailable, the feed logs that.
      log.debug({ err }, "cannot look at the notification queue");
    });
    if (!isClosed) timer = setTimeout(keepLooking, isHeld ? RENEW_MS : lookMs);
  }
  void keepLooking();

  return {
    usage: () => usage,
    isHeld: () => isHeld,
    warnings: () => (warning ? [warning] : []),
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
