import type { RequestHandler, Response } from "express";
import type { Cursor } from "../../changes/cursor.ts";
import type { FindStanding, Standing } from "../../db/revocations.ts";
import { toIncomingRequest } from "../incoming-request.ts";
import type { Authenticate } from "./authenticate.ts";
import { type Identity, tokenAhead, tokenInvalid } from "./verify-token.ts";

/**
 * Lets in who has a token that has not been revoked, and remembers who, and where the feed stood before that was asked:
 * whoever follows from there hears of a revocation that comes later.
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
    next();
  };
}

/** Throws Problem `token_invalid` where the database says that a token is not to be let in. */
export function requireStanding(standing: Standing): Standing {
  if (standing.isAhead) throw tokenAhead("the database's");
  if (standing.isRefused) throw tokenInvalid();
  return standing;
}

/** Whose request this is, behind `identify`. */
export const identityOf = (res: Response): Identity => res.locals.identity;

/** Where its token stood when it was let in. */
export const standingOf = (res: Response): Standing => res.locals.standing;

/** Undefined until the feed's first read. */
export const positionOf = (res: Response): Cursor | undefined => res.locals.position;

export const recipientOf = (res: Response): string => identityOf(res).recipientId;
