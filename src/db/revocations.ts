import type { Pool } from "pg";
import { orAway } from "./away.ts";

/** Whether the recipient was revoked after this time, to the millisecond of the database's clock. Throws DatabaseAwayError. */
export async function isRevoked(pool: Pool, recipientId: string, since: Date): Promise<boolean> {
  const { rows } = await orAway(
    pool.query<{ revoked: boolean }>(
      `select exists (
         select
           from bellwire.revocations
          where recipient_id = $1
            and revoked_at > to_timestamp($2 / 1000.0)
       ) as revoked`,
      [recipientId, since.getTime()],
    ),
  );
  return rows[0]?.revoked === true;
}
