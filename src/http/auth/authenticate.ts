import { parseCookie } from "cookie";
import type { IncomingRequest } from "../incoming-request.ts";
import { Problem } from "../problem.ts";
import { refuseForeignPage } from "./csrf.ts";
import type { Identity, VerifyToken } from "./verify-token.ts";

/** Who sends a request. Throws Problem where nobody is to be let in, or none can be told. */
export type Authenticate = (request: IncomingRequest) => Promise<Identity>;

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
  return async (request) => {
    const bearer = bearerToken(request);
    if (bearer) return await verifyToken(bearer);
    const token = cookie && parseCookie(request.headers.cookie ?? "")[cookie];
    if (!token) throw tokenMissing(cookie);
    refuseForeignPage(request, allowedOrigins);
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
