import type { Pool } from "pg";
import type { Logger } from "../logger.ts";

export interface NotifyQueueOptions {
  pool: Pool;
  /** Has no wake-ups sent for so long. */
  suspendWakeups: (ms: number) => Promise<void>;
  /** From now on none are sent, until it is called with false: whoever reads must not wait for one. */
  onHeldChange: (isHeld: boolean) => void;
  log: Logger;
  lookMs?: number;
}

/** How full it is, 0 to 1, when somebody is warned, when wake-ups are suspended, and when they come back. */
const FILLING = 0.1;
const HALF_FULL = 0.5;
const EMPTIED = 0.25;

/** To look for the session that holds it up is to look at every lock there is. */
const EXPLAIN_MS = 5000;

const LEASE_MS = 1000;
/** Twice in a lease, and a little. */
const RENEW_MS = 400;

/**
 * Watches PostgreSQL's queue of notifications that some session has not read. It is the cluster's: one session of any
 * role that listens, in any database, and stays in a transaction, or whose client does not read, keeps all that was
 * sent since; and when it is full, every transaction that notifies fails at its commit, where no handler can help. So from
 * half on no wake-ups are sent, whatever `WAKEUPS_PER_SECOND_BUSY` says, and the service polls; until it has emptied.
 *
 * To ask how full it is moves the queue's tail, too. Otherwise only a NOTIFY would, and when it is full there is none.
 */
export function watchNotifyQueue(options: NotifyQueueOptions) {
  const { pool, suspendWakeups, onHeldChange, log, lookMs = 1000 } = options;
  let usage = 0;
  let isHeld = false;
  let isClosed = false;
  let warning: string | undefined;
  let explainedAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  /** Transactions that are open, and since when we have seen each so, by `Date.now()`. */
  let open = new Map<string, number>();

  async function look() {
    const { rows } = await pool.query<{ usage: number }>(
      "select pg_notification_queue_usage() as usage",
    );
    usage = rows[0]?.usage ?? 0;
    const mustHold = usage > (isHeld ? EMPTIED : HALF_FULL);
    if (mustHold) await suspendWakeups(LEASE_MS);
    if (mustHold !== isHeld) {
      isHeld = mustHold;
      explainedAt = Number.NEGATIVE_INFINITY;
      onHeldChange(isHeld);
      say();
    }
    await explain();
  }

  function say() {
    if (isHeld) log.error({ usage }, "the notification queue is half full: wake-ups are suspended");
    else log.info({ usage }, "the notification queue has emptied: wake-ups are sent again");
  }

  async function explain() {
    if (usage <= FILLING) {
      if (warning) log.info("no longer: the notification queue fills");
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
   * The session that has been in one transaction for longest, or whose client does not read. Which sessions listen PostgreSQL
   * tells nobody; what a session does, it tells only members of pg_monitor. That one has a transaction open, everybody sees.
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
    const told = first.since
      ? `, ${state} since ${new Date(Number(first.since)).toISOString()}`
      : "";
    return `pid ${pid}, role ${role}, database ${database}${told}`;
  }

  async function keepLooking() {
    await look().catch((err) => {
      // That the database is away is said by whoever reads it.
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
  /** Names a transaction. */
  key: string;
  pid: number;
  role: string;
  database: string;
  /** Null where we may not see it, as the next, which is in milliseconds. */
  state: string | null;
  since: string | null;
  /** Its last statement was LISTEN, or speaks of it. */
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
