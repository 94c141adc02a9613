import type { Pool } from "pg";
import { orAway } from "./away.ts";
import { isOfItsArguments } from "./read-problem.ts";
import { together } from "./together.ts";

export interface IssuedToken {
  readonly recipientId: string;
  readonly issuedAt: Date;
}

/** Whether a token's recipient was revoked since. */
export async function isRevoked(pool: Pool, token: IssuedToken): Promise<boolean> {
  const [isOut] = await areRevoked(pool, [token]);
  return isOut === true;
}

/** The same for those who come with many others: they share a query. */
export const createRevocationCheck = (pool: Pool) =>
  together({
    call: (tokens: readonly IssuedToken[]) => areRevoked(pool, tokens),
    isOnesFault: isOfItsArguments,
    atOnce: 1,
    most: 1000,
  });

/**
 * Whether each one's recipient was revoked after it was issued, to the millisecond of the database's clock; in their
 * order. Throws DatabaseAwayError.
 */
async function areRevoked(pool: Pool, tokens: readonly IssuedToken[]): Promise<boolean[]> {
  const { rows } = await orAway(
    pool.query<{ revoked: boolean }>(
      `select exists (
                select
                  from bellwire.revocations r
                 where r.recipient_id = token.recipient_id
                   and r.revoked_at > to_timestamp(token.issued_ms / 1000.0)
              ) as revoked
         from unnest($1::text[], $2::bigint[]) with ordinality as token (recipient_id, issued_ms, position)
        order by token.position`,
      [
        tokens.map(({ recipientId }) => recipientId),
        tokens.map(({ issuedAt }) => issuedAt.getTime()),
      ],
    ),
  );
  return rows.map(({ revoked }) => revoked);
}
