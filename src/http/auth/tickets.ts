import type { RequestHandler } from "express";
import type { Ticket, TicketHolder } from "../../db/tickets.ts";
import { queryOf } from "../incoming-request.ts";
import type { TicketJson } from "../response-schemas.ts";
import { type Authenticate, bearerToken } from "./authenticate.ts";
import { identityOf } from "./identify.ts";
import { tokenInvalid } from "./verify-token.ts";

/** `POST /tickets`: a ticket for one stream, for clients that can send neither header nor cookie. Mount it after `identify`. */
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
 * Like `authenticate`, but also accepts `?ticket=`. A bearer token overrides the ticket. The ticket overrides a cookie, because a
 * browser sends cookies without being asked to. Throws Problem `token_invalid` for a ticket that is unknown, used or expired.
 */
export function withTicket(
  authenticate: Authenticate,
  redeem: (ticket: string) => Promise<TicketHolder | undefined>,
): Authenticate {
  return async (request) => {
    const [ticket, ...more] = queryOf(request).getAll("ticket");
    if (ticket === undefined || bearerToken(request)) return await authenticate(request);
    const isOne = more.length === 0 && TICKET.test(ticket);
    const holder = isOne ? await redeem(ticket) : undefined;
    if (!holder) throw tokenInvalid();
    return holder;
  };
}
