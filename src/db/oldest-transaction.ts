import type { Pool } from "pg";

/** The write transaction that has been open longest, anywhere in the cluster. */
export interface OldestTransaction {
  /** How to find it: a backend's pid, database and user, or the name of a prepared transaction. */
  readonly holder: string;
  /** Since this process first saw it. */
  readonly seconds: number;
}

/**
 * Returns the function that finds it. The function resolves to undefined if there is none, and rejects with what `pg` throws. No row
 * waits for the oldest transaction, but while it is open every cursor must list it. Its age counts from when this process first saw
 * it, because PostgreSQL hides the start of other users' transactions.
 */
export function watchOldestTransaction(pool: Pool) {
  let seen: { xid: string; at: number } | undefined;

  return async (): Promise<OldestTransaction | undefined> => {
    const { rows } = await pool.query<{ xid: string; holder: string }>(
      `select xid, holder
           from (
                  select backend_xid::text as xid,
                         age(backend_xid) as age,
                         format('pid %s, database %s, user %s', pid, datname, usename) as holder
                    from pg_stat_activity
                   where backend_xid is not null
                     and pid <> pg_backend_pid()
                  union all
                  select transaction::text,
                         age(transaction),
                         format('prepared transaction %s, database %s', quote_literal(gid), database)
                    from pg_prepared_xacts
                ) writing
          order by age desc
          limit 1`,
    );
    const [oldest] = rows;
    const now = performance.now();
    if (!oldest) seen = undefined;
    else if (oldest.xid !== seen?.xid) seen = { xid: oldest.xid, at: now };
    return oldest && seen && { holder: oldest.holder, seconds: (now - seen.at) / 1000 };
  };
}
