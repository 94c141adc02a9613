import type { RequestHandler, Response } from "express";
import { type Authenticate, tokenInvalid } from "./auth.ts";

/** Lets in who has a token that has not been revoked, and remembers who. */
export function identify(
  authenticate: Authenticate,
  isRevoked: (recipientId: string, issuedAt: Date) => Promise<boolean>,
): RequestHandler {
  return async (req, res, next) => {
    const { recipientId, issuedAt } = await authenticate(req);
    if (await isRevoked(recipientId, issuedAt)) throw tokenInvalid();
    res.locals.recipientId = recipientId;
    next();
  };
}

/** Whose request this is, behind `identify`. */
export const recipientOf = (res: Response): string => res.locals.recipientId;
