import type { RequestHandler, Response } from "express";
import type { Authenticate } from "./auth.ts";
import { type Identity, tokenInvalid } from "./verify-token.ts";

/** Whether the recipient's tokens issued then have been revoked since. */
export type IsRevoked = (recipientId: string, issuedAt: Date) => Promise<boolean>;

/** Lets in who has a token that has not been revoked, and remembers who. */
export function identify(authenticate: Authenticate, isRevoked: IsRevoked): RequestHandler {
  return async (req, res, next) => {
    const identity = await authenticate(req);
    if (await isRevoked(identity.recipientId, identity.issuedAt)) throw tokenInvalid();
    res.locals.identity = identity;
    next();
  };
}

/** Whose request this is, behind `identify`. */
export const identityOf = (res: Response): Identity => res.locals.identity;

export const recipientOf = (res: Response): string => identityOf(res).recipientId;
