import pg from "pg";

const TYPE = "bellwire.doctor";

export interface Canary {
  recipientId: string;
  /** Resolves when the row is committed, at this `performance.now()`. Undefined if it was dropped, as of a muted type, and from `close` on. */
  write(): Promise<{ id: string; at: number } | undefined>;
  close(): Promise<void>;
}

/** Why there is no canary: a sentence's end. */
export interface NoCanary {
  reason: string;
}

const LIMIT_MS = 5000;

/**
 * Writes rows to one recipient, to see when they arrive. `close` deletes them, and so does the end of the process by SIGINT or
 * SIGTERM. What a killed doctor left is deleted by the next one.
 */
export async function openCanary(url: string, recipientId: string): Promise<Canary | NoCanary> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "bellwire doctor",
    connectionTimeoutMillis: LIMIT_MS,
    query_timeout: LIMIT_MS,
  });
  // A query that waits is rejected; an idle connection that is cut must not end the process.
  client.on("error", () => {});
  const ids: string[] = [];

  try {
    await client.connect();
    const { rows } = await client.query<{ mayNotify: boolean; mayDelete: boolean }>(
      `select has_schema_privilege('bellwire', 'usage') and coalesce(bool_or(has_function_privilege(p.oid, 'execute')), false) as "mayNotify",
              has_table_privilege('bellwire.notifications', 'delete') as "mayDelete"
         from pg_proc p
        where p.oid = to_regproc('bellwire.notify')`,
    );
    if (!rows[0]?.mayNotify || !rows[0].mayDelete) {
      await client.end();
      return {
        reason: "the login of DATABASE_URL may not call bellwire.notify() and delete its row",
      };
    }
    await client.query(
      `delete from bellwire.notifications
        where recipient_id = $1 and type = $2 and created_at < now() - interval '10 minutes'`,
      [recipientId, TYPE],
    );
  } catch (err) {
    client.end().catch(() => {});
    return { reason: `the database of DATABASE_URL does not answer as expected (${nameOf(err)})` };
  }

  /** The last one, and so all: a connection makes one query after the other. */
  let writing: Promise<unknown> = Promise.resolve();
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= remove();
    return closing;
  };
  async function remove(): Promise<void> {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
    // One that is being written has no id yet.
    await writing.catch(() => {});
    try {
      await client.query("delete from bellwire.notifications where id = any ($1)", [ids]);
    } finally {
      await client.end();
    }
  }
  function onSignal() {
    const exit = () => process.exit(2);
    close().then(exit, exit);
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);

  async function write() {
    const { rows } = await client.query<{ id: string | null }>(
      "select bellwire.notify($1, $2, title => 'A test row of bellwire doctor') as id",
      [recipientId, TYPE],
    );
    const at = performance.now();
    const id = rows[0]?.id;
    if (id === null || id === undefined) return undefined;
    ids.push(id);
    return { id, at };
  }

  return {
    recipientId,
    write() {
      if (closing) return Promise.resolve(undefined);
      const written = write();
      writing = written;
      return written;
    },
    close,
  };
}

/** Never the message, which may have the URL's password. */
const nameOf = (err: unknown): string =>
  err instanceof Error && "code" in err ? String(err.code) : "no connection";
