import type { RequestHandler } from "express";
import type { Ticket, TicketHolder } from "../../db/tickets.ts";
import type { TicketJson } from "../schemas.ts";
import { type Authenticate, bearerToken } from "./authenticate.ts";
import { identityOf } from "./identify.ts";
import { tokenInvalid } from "./verify-token.ts";

/** `POST /tickets`: a ticket for one stream, for who can send neither header nor cookie with it. Behind `identify`. */
export function issueTicket(issue: (holder: TicketHolder) => Promise<Ticket>): RequestHandler {
  return async (_req, res) => {
    const { ticket, expiresAt } = await issue(identityOf(res));
    const answer: TicketJson = { ticket, expiresAt: expiresAt.toISOString() };
    res.json(answer);
  };
}

/** 32 bytes, base64url. */
const TICKET = /^[A-Za-z0-9_-]{43}$/;

/**
 * As `authenticate`, and `?ticket=` counts, too, behind a bearer token and before a cookie: it was made for this stream,
 * and a cookie comes by itself. Throws Problem `token_invalid` for a ticket that is unknown, used or too old.
 */
export function withTicket(
  authenticate: Authenticate,
  redeem: (ticket: string) => Promise<TicketHolder | undefined>,
): Authenticate {
  return async (req) => {
    const { ticket } = req.query;
    if (ticket === undefined || bearerToken(req)) return await authenticate(req);
    const holder =
      typeof ticket === "string" && TICKET.test(ticket) ? await redeem(ticket) : undefined;
    if (!holder) throw tokenInvalid();
    return holder;
  };
}
