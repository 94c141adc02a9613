import pg from "pg";

/** The columns of `bellwire.notifications` that the checker compares. */
export interface TruthRow {
  id: string;
  recipientId: string;
  body: string | null;
  isRead: boolean;
}

/** Reads the table, which decides what is right. */
export async function readTruth(url: string, since = "0"): Promise<TruthRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<TruthRow>(
      `select id, recipient_id as "recipientId", body, read_at is not null as "isRead"
         from bellwire.notifications
        where id > $1
        order by id`,
      [since],
    );
    return rows;
  } finally {
    await client.end();
  }
}

export function groupByRecipient(rows: readonly TruthRow[]): Map<string, TruthRow[]> {
  const groups = new Map<string, TruthRow[]>();
  for (const row of rows) {
    const group = groups.get(row.recipientId);
    if (group) group.push(row);
    else groups.set(row.recipientId, [row]);
  }
  return groups;
}
