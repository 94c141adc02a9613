import type { RequestHandler, Response } from "express";
import type { Cursor } from "../db/cursor.ts";
import type { Authenticate } from "./auth.ts";
import { type Identity, tokenInvalid } from "./verify-token.ts";

/** Whether the recipient's tokens issued then have been revoked since. */
export type IsRevoked = (token: Pick<Identity, "recipientId" | "issuedAt">) => Promise<boolean>;

/**
 * Lets in who has a token that has not been revoked, and remembers who, and where the feed stood before that was asked:
 * whoever follows from there hears of a revocation that comes later.
 */
export function identify(
  authenticate: Authenticate,
  isRevoked: IsRevoked,
  position: () => Cursor | undefined,
): RequestHandler {
  return async (req, res, next) => {
    const identity = await authenticate(req);
    res.locals.position = position();
    if (await isRevoked(identity)) throw tokenInvalid();
    res.locals.identity = identity;
    next();
  };
}

/** Whose request this is, behind `identify`. */
export const identityOf = (res: Response): Identity => res.locals.identity;

/** Undefined until the feed's first read. */
export const positionOf = (res: Response): Cursor | undefined => res.locals.position;

export const recipientOf = (res: Response): string => identityOf(res).recipientId;
