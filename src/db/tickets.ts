import { createHash, randomBytes } from "node:crypto";
import type { Pool } from "pg";
import { orAway } from "./away.ts";

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
      const { rows } = await orAway(
        pool.query<{ expires_at: Date }>(
          "select bellwire.issue_ticket($1, $2, $3, $4, make_interval(secs => $5)) as expires_at",
          [digestOf(ticket), recipientId, issuedAt, expiresAt, TTL_SECONDS],
        ),
      );
      const [row] = rows;
      if (!row) throw new Error("bellwire.issue_ticket() returned no row");
      return { ticket, expiresAt: row.expires_at };
    },

    /** Whose ticket this was; undefined where it is unknown, used, or too old. It is used up. */
    async redeem(ticket: string): Promise<TicketHolder | undefined> {
      const { rows } = await orAway(
        pool.query<{ recipient_id: string; issued_at: Date; token_expires_at: Date }>(
          "select * from bellwire.redeem_ticket($1)",
          [digestOf(ticket)],
        ),
      );
      const [row] = rows;
      return (
        row && {
          recipientId: row.recipient_id,
          issuedAt: row.issued_at,
          expiresAt: row.token_expires_at,
        }
      );
    },
  };
}

const digestOf = (ticket: string) => createHash("sha256").update(ticket).digest();
