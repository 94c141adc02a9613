import type pg from "pg";
import { MigrationError } from "./error.ts";
import { refuseOldServer } from "./server-version.ts";

export type Target = { user: string; database: string };

/** The user and database of the connection. Throws if the server cannot be migrated. */
export async function readTarget(client: pg.Client): Promise<Target> {
  type Row = Target & { number: number; name: string; standby: boolean };
  const { rows } = await client.query<Row>(
    `select current_user as "user",
            current_database() as database,
            current_setting('server_version_num')::integer as number,
            current_setting('server_version') as name,
            pg_is_in_recovery() as standby`,
  );
  const [row] = rows;
  if (!row) throw new Error("a select without from returned no row");
  refuseOldServer(row);
  if (row.standby) {
    throw new MigrationError("This is a standby and cannot be changed. Connect to the primary.");
  }
  return row;
}
