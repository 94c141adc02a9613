import { parseCookie } from "cookie";
import type { Request } from "express";
import { Problem } from "../problem.ts";
import { refuseForeignPage } from "./csrf.ts";
import type { Identity, VerifyToken } from "./verify-token.ts";

/** Who sends a request. Throws Problem where nobody is to be let in, or none can be told. */
export type Authenticate = (req: Request) => Promise<Identity>;

export interface AuthOptions {
  verifyToken: VerifyToken;
  /** The cookie that may hold the token; none where undefined. */
  cookie: string | undefined;
  allowedOrigins: readonly string[];
}

/**
 * Reads a request's token: `Authorization: Bearer`, else the configured cookie, which counts only from a page that may
 * use it. Throws Problem `token_missing`, `origin_refused`, and what `verifyToken` throws. A token in the address is
 * never looked at: it would be in every log on the way (RFC 9700 §4.3.2).
 */
export function createAuthenticator({
  verifyToken,
  cookie,
  allowedOrigins,
}: AuthOptions): Authenticate {
  return async (req) => {
    const bearer = bearerToken(req);
    if (bearer) return await verifyToken(bearer);
    const token = cookie && parseCookie(req.get("cookie") ?? "")[cookie];
    if (!token) throw tokenMissing(cookie);
    refuseForeignPage(req, allowedOrigins);
    return await verifyToken(token);
  };
}

export function bearerToken(req: Request): string | undefined {
  return /^bearer +(.*)$/i.exec(req.get("authorization") ?? "")?.[1];
}

const tokenMissing = (cookie: string | undefined) =>
  new Problem(
    "token_missing",
    `Send an Authorization: Bearer header${cookie ? `, or the cookie ${cookie}` : ""}.`,
    { headers: { "WWW-Authenticate": "Bearer" } },
  );
