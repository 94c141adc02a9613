import type { ClientBase, Pool } from "pg";

/**
 * Finds the session that probably blocks PostgreSQL's queue of notifications: the one with the oldest transaction, or one whose client
 * does not read. PostgreSQL shows nobody which sessions listen, and shows a session's statements only to members of pg_monitor. Every
 * role sees which transactions are open.
 */
export function watchQueueSuspects(database: Pool | ClientBase) {
  /** Open transactions, and when this process first saw each (`Date.now()`). */
  let open = new Map<string, number>();

  return {
    /** Its pid, role and database, and if our role may see it also its state. */
    async findHolder(): Promise<string | undefined> {
      const { rows } = await database.query<Suspect>(SUSPECTS);
      const now = Date.now();
      open = new Map(rows.map(({ key }) => [key, open.get(key) ?? now]));
      const since = ({ key, since }: Suspect) =>
        (since === null ? undefined : Number(since)) ?? open.get(key) ?? now;
      const [first] = rows.sort(
        (a, b) => Number(b.listens) - Number(a.listens) || since(a) - since(b),
      );
      if (!first) return undefined;
      const { pid, role, database: name, state } = first;
      const seen = first.since
        ? `, ${state} since ${new Date(Number(first.since)).toISOString()}`
        : "";
      return `pid ${pid}, role ${role}, database ${name}${seen}`;
    },

    forget(): void {
      open = new Map();
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
