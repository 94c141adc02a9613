import { createHash, randomBytes } from "node:crypto";
import type { Pool } from "pg";
import { orUnavailable } from "./unavailable.ts";

/** The token that a ticket was asked for with; its stream is bound to it. */
export interface TicketHolder {
  readonly recipientId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export interface Ticket {
  /** 256 random bits, base64url. */
  readonly ticket: string;
  readonly expiresAt: Date;
}

const TTL_SECONDS = 30;

/**
 * One-time tickets, in the database, so that any instance redeems each once. Only their digests are kept: who reads the
 * table cannot use them.
 */
export function createTickets(pool: Pool) {
  return {
    async issue({ recipientId, issuedAt, expiresAt }: TicketHolder): Promise<Ticket> {
      const ticket = randomBytes(32).toString("base64url");
      const { rows } = await orUnavailable(
        pool.query<{ expires_ms: string }>(
          `select ${inMs("expires_at")} as expires_ms
             from bellwire.issue_ticket($1, $2, $3, $4, make_interval(secs => $5)) as expires_at`,
          [digestOf(ticket), recipientId, issuedAt, expiresAt, TTL_SECONDS],
        ),
      );
      const [row] = rows;
      if (!row) throw new Error("bellwire.issue_ticket() returned no row");
      return { ticket, expiresAt: new Date(Number(row.expires_ms)) };
    },

    /** Whose ticket this was; undefined where it is unknown, used, or too old. It is used up. */
    async redeem(ticket: string): Promise<TicketHolder | undefined> {
      const { rows } = await orUnavailable(
        pool.query<{ recipient_id: string; issued_ms: string; expires_ms: string }>(
          `select recipient_id, ${inMs("issued_at")} as issued_ms, ${inMs("token_expires_at")} as expires_ms
             from bellwire.redeem_ticket($1)`,
          [digestOf(ticket)],
        ),
      );
      const [row] = rows;
      return (
        row && {
          recipientId: row.recipient_id,
          issuedAt: new Date(Number(row.issued_ms)),
          expiresAt: new Date(Number(row.expires_ms)),
        }
      );
    },
  };
}

/** A time as whole milliseconds, which no setting writes in another way. */
const inMs = (time: string) => `(date_part('epoch', ${time}) * 1000)::bigint`;

const digestOf = (ticket: string) => createHash("sha256").update(ticket).digest();
