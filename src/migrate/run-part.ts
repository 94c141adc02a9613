import type pg from "pg";
import { describeFailure, MigrationError } from "./error.ts";
import type { Part } from "./script.ts";

/** Runs a part of a script in the open transaction, and makes sure that a file has not ended it. */
export async function runPart(client: pg.Client, { sql, file }: Part): Promise<void> {
  if (!file) {
    await client.query(sql);
    return;
  }
  const before = await currentTransaction(client);
  try {
    await client.query(sql);
  } catch (err) {
    throw describeFailure(err, file);
  }
  if ((await currentTransaction(client)) !== before) {
    throw new MigrationError(
      `${file.name} ended migrate's transaction. Remove its commit or rollback, and check which changes it left in the database.`,
    );
  }
}

async function currentTransaction(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>("select pg_current_xact_id()::text as id");
  return rows[0]?.id;
}
