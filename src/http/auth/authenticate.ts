import { parseCookie } from "cookie";
import type { IncomingRequest } from "../incoming-request.ts";
import { Problem } from "../problem.ts";
import { refuseCrossOrigin } from "./csrf.ts";
import type { Identity, VerifyToken } from "./verify-token.ts";

/** Resolves to the sender's identity. Throws Problem if the request is refused, or cannot be checked. */
export type Authenticate = (request: IncomingRequest) => Promise<Identity>;

export interface AuthOptions {
  verifyToken: VerifyToken;
  /** The name of the cookie that may hold the token; undefined: no cookie is accepted. */
  cookie: string | undefined;
  allowedOrigins: readonly string[];
}

/**
 * Reads the token from `Authorization: Bearer`, or else from the configured cookie. The cookie is accepted only if its page's
 * origin is allowed. Throws Problem `token_missing` or `origin_refused`, and what `verifyToken` throws. A token in the URL is
 * ignored, because proxies log URLs (RFC 9700 §4.3.2).
 */
export function createAuthenticator({
  verifyToken,
  cookie,
  allowedOrigins,
}: AuthOptions): Authenticate {
  return async (request) => {
    const bearer = bearerToken(request);
    if (bearer) return await verifyToken(bearer);
    const token = cookie && parseCookie(request.headers.cookie ?? "")[cookie];
    if (!token) throw tokenMissing(cookie);
    refuseCrossOrigin(request, allowedOrigins);
    return await verifyToken(token);
  };
}

export function bearerToken({ headers }: IncomingRequest): string | undefined {
  return /^bearer +(.*)$/i.exec(headers.authorization ?? "")?.[1];
}

const tokenMissing = (cookie: string | undefined) =>
  new Problem(
    "token_missing",
    `Send an Authorization: Bearer header${cookie ? `, or the cookie ${cookie}` : ""}.`,
    { headers: { "WWW-Authenticate": "Bearer" } },
  );
