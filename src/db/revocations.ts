import type { Pool } from "pg";
import { batch } from "./batch.ts";
import { isArgumentError } from "./read-errors.ts";
import { orUnavailable } from "./unavailable.ts";

export interface IssuedToken {
  readonly recipientId: string;
  readonly issuedAt: Date;
}

/** How the database judges a token now. */
export interface Standing {
  /** Its recipient was revoked after it was issued or admitted, or it was issued too far in the future. */
  readonly isRefused: boolean;
  /** It was issued further ahead of the database's clock than the leeway allows. */
  readonly isAhead: boolean;
  /** When its recipient was last revoked, in microseconds since 1970; null: never. */
  readonly revokedAt: string | null;
}

/**
 * Asks for a token's standing. `admitted` is its standing when its connection was opened. A revocation since then refuses the token,
 * whatever issue time it claims.
 */
export type FindStanding = (token: IssuedToken, admitted?: Admitted) => Promise<Standing>;

type Admitted = Pick<Standing, "revokedAt">;

/** `leewayMs` is how far the issuer's clock may be from the database's. */
export const createFindStanding =
  (pool: Pool, leewayMs: number): FindStanding =>
  async (token, admitted) => {
    const [standing] = await findStandings(pool, leewayMs, [{ ...token, admitted }]);
    if (!standing) throw new Error("a query for one token gave no row");
    return standing;
  };

/** The same, but concurrent calls share a query. For connections, which all open at once after a restart. */
export function createBatchedFindStanding(pool: Pool, leewayMs: number): FindStanding {
  const find = batch({
    call: (tokens: readonly TokenCheck[]) => findStandings(pool, leewayMs, tokens),
    isArgumentError,
    maxConcurrent: 1,
    maxItems: 1000,
  });
  return (token, admitted) => find({ ...token, admitted });
}

interface TokenCheck extends IssuedToken {
  readonly admitted: Admitted | undefined;
}

/**
 * Returns the standings in the tokens' order. Only the database's clock counts, because it also dates the revocations. An admitted
 * token claims an issue time at most `leewayMs` ahead of that clock, so every later revocation refuses it. Throws
 * DatabaseUnavailableError.
 */
async function findStandings(
  pool: Pool,
  leewayMs: number,
  tokens: readonly TokenCheck[],
): Promise<Standing[]> {
  const { rows } = await orUnavailable(
    pool.query<Standing>(
      `select case
                when token.is_admitted then coalesce(revoked.us > coalesce(token.admitted_us, 0), false)
                else ahead.is_so or coalesce(r.revoked_at >= issued.at - leeway.time, false)
              end as "isRefused",
              ahead.is_so as "isAhead",
              revoked.us::text as "revokedAt"
         from unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[]) with ordinality
              as token (recipient_id, issued_ms, is_admitted, admitted_us, position)
        cross join make_interval(secs => $5::double precision / 1000) as leeway (time)
        cross join lateral to_timestamp(token.issued_ms / 1000.0) as issued (at)
        cross join lateral (
                select not token.is_admitted and issued.at > clock_timestamp() + leeway.time
              ) as ahead (is_so)
         left join bellwire.revocations r on r.recipient_id = token.recipient_id
        cross join lateral (
                select (extract(epoch from r.revoked_at) * 1000000)::bigint
              ) as revoked (us)
        order by token.position`,
      [
        tokens.map(({ recipientId }) => recipientId),
        tokens.map(({ issuedAt }) => issuedAt.getTime()),
        tokens.map(({ admitted }) => admitted !== undefined),
        tokens.map(({ admitted }) => admitted?.revokedAt ?? 0),
        leewayMs,
      ],
    ),
  );
  return rows;
}
