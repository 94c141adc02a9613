import type { Pool } from "pg";
import type { Logger } from "../logger.ts";

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
const WARN_ABOVE = 0.1;
const SUSPEND_ABOVE = 0.5;
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
  /** Open transactions, and when this process first saw each (`Date.now()`). */
  let open = new Map<string, number>();

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
      open = new Map();
      return;
    }
    if (performance.now() - explainedAt < EXPLAIN_MS) return;
    explainedAt = performance.now();
    const isNew = warning === undefined;
    const holder = await findHolder();
    const full = `the notification queue fills (${Math.round(usage * 100)} %): some session listens and does not read`;
    warning = `${full}${holder ? `, probably ${holder}` : ""}${isHeld ? "; wake-ups are suspended, and rows arrive with the sweep" : ""}`;
    if (isNew) log.warn({ usage, holder }, full);
  }

  /**
   * The session with the oldest transaction, or one whose client does not read. PostgreSQL shows nobody which sessions
   * listen, and shows a session's statements only to members of pg_monitor. Every role sees which transactions are open.
   */
  async function findHolder(): Promise<string | undefined> {
    const { rows } = await pool.query<Suspect>(SUSPECTS);
    const now = Date.now();
    open = new Map(rows.map(({ key }) => [key, open.get(key) ?? now]));
    const since = ({ key, since }: Suspect) =>
      (since === null ? undefined : Number(since)) ?? open.get(key) ?? now;
    const [first] = rows.sort(
      (a, b) => Number(b.listens) - Number(a.listens) || since(a) - since(b),
    );
    if (!first) return undefined;
    const { pid, role, database, state } = first;
    const seen = first.since
      ? `, ${state} since ${new Date(Number(first.since)).toISOString()}`
      : "";
    return `pid ${pid}, role ${role}, database ${database}${seen}`;
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

interface Suspect {
  /** Identifies the transaction. */
  key: string;
  pid: number;
  role: string;
  database: string;
  /** This and the next are null when our role may not see them. */
  state: string | null;
  /** In milliseconds. */
  since: string | null;
  /** Its last statement contains the word LISTEN. */
  listens: boolean;
}

const SUSPECTS = `
  select a.pid,
         coalesce(l.virtualtransaction, a.pid::text) as key,
         a.usename as role,
         a.datname as database,
         a.state,
         (date_part('epoch', coalesce(a.xact_start, a.state_change)) * 1000)::bigint as since,
         coalesce(a.query ~* '[[:<:]]listen[[:>:]]', false) as listens
    from pg_stat_activity a
    left join pg_locks l
      on l.pid = a.pid
     and l.locktype = 'virtualxid'
     and l.virtualxid = l.virtualtransaction
   where a.datname is not null
     and a.usename is not null
     and a.pid <> pg_backend_pid()
     and (l.pid is not null or (a.state = 'idle' and a.wait_event = 'ClientWrite'))`;
