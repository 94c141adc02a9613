import type { RequestHandler, Response } from "express";
import type { Cursor } from "../../changes/cursor.ts";
import type { FindStanding, Standing } from "../../db/revocations.ts";
import { toIncomingRequest } from "../incoming-request.ts";
import { Problem } from "../problem.ts";
import type { Authenticate } from "./authenticate.ts";
import { type Identity, tokenAhead, tokenInvalid } from "./verify-token.ts";

/**
 * Requires a valid token that is not revoked, and stores the identity for later handlers. It also stores the feed's position,
 * taken before the check, so that a follower that starts there sees every later revocation.
 */
export function identify(
  authenticate: Authenticate,
  findStanding: FindStanding,
  position: () => Cursor | undefined,
): RequestHandler {
  return async (req, res, next) => {
    const identity = await authenticate(toIncomingRequest(req));
    res.locals.position = position();
    res.locals.standing = requireStanding(await findStanding(identity));
    res.locals.identity = identity;
    nameRecipient(res, identity);
    refuseOther(req.get(RECIPIENT_HEADER), identity);
    next();
  };
}

/** Tells the client who it is. With a cookie a page cannot know that, and the tabs of one browser may belong to several users. */
export function nameRecipient(res: Response, { recipientId }: Identity): void {
  res.set(RECIPIENT_HEADER, encodeURIComponent(recipientId));
}

/** A page may say for whom it writes, in the same form: its cookie may have become another user's since it was opened. */
function refuseOther(expected: string | undefined, { recipientId }: Identity): void {
  if (expected && expected !== encodeURIComponent(recipientId))
    throw new Problem(
      "request_invalid",
      "recipient: The token is another recipient's. Fetch the list again.",
    );
}

export const RECIPIENT_HEADER = "Bellwire-Recipient";

/** Throws Problem `token_invalid` if the database refuses the token. */
export function requireStanding(standing: Standing): Standing {
  if (standing.isAhead) throw tokenAhead("the database's");
  if (standing.isRefused) throw tokenInvalid();
  return standing;
}

/** The sender's identity; available after `identify`. */
export const identityOf = (res: Response): Identity => res.locals.identity;

/** The token's standing, as `identify` found it in the database. */
export const standingOf = (res: Response): Standing => res.locals.standing;

/** Undefined until the feed's first read. */
export const positionOf = (res: Response): Cursor | undefined => res.locals.position;

export const recipientOf = (res: Response): string => identityOf(res).recipientId;
