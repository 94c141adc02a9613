import type { RequestHandler, Response } from "express";
import { type Authenticate, tokenInvalid } from "./auth.ts";
import { Problem } from "./problem.ts";

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

/** Refuses what another site's page has its visitor's browser send: a cookie would make it the visitor's own. */
export const refuseCrossSite: RequestHandler = (req, _res, next) => {
  const isWrite = req.method !== "GET" && req.method !== "HEAD";
  if (isWrite && req.get("sec-fetch-site") === "cross-site")
    throw new Problem(403, "cross_site", "Another site's page may not change an inbox.");
  next();
};

/** Whose request this is, behind `identify`. */
export const recipientOf = (res: Response): string => res.locals.recipientId;
