import { createHash, randomBytes } from "node:crypto";
import type { Pool } from "pg";
import { orUnavailable } from "./unavailable.ts";

/** The token with which a ticket was requested. The ticket's stream is bound to it. */
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
 * One-time tickets. They are in the database, so that each can be redeemed once and on any instance. Only their digests are stored,
 * so reading the table gives no usable ticket.
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

    /** Uses a ticket up, and returns its holder; undefined when the ticket is unknown, used or expired. */
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

/** A time as whole milliseconds, whose text form depends on no setting. */
const inMs = (time: string) => `(date_part('epoch', ${time}) * 1000)::bigint`;

const digestOf = (ticket: string) => createHash("sha256").update(ticket).digest();
