import pg from "pg";

/** Deletes notifications older than the retention, a thousand at a time, so that nobody waits for it; returns how many. */
export async function prune(options: { url: string; retentionDays: number }): Promise<number> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: "bellwire prune",
  });
  await client.connect();
  try {
    for (let pruned = 0; ; ) {
      const { rows } = await client.query<{ deleted: string }>(
        "select bellwire.prune(now() - make_interval(days => $1)) as deleted",
        [options.retentionDays],
      );
      const deleted = Number(rows[0]?.deleted ?? 0);
      pruned += deleted;
      if (deleted === 0) return pruned;
    }
  } finally {
    await client.end();
  }
}
