import { createPublicKey, createSecretKey } from "node:crypto";
import { parseCookie } from "cookie";
import type { Request } from "express";
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { KeyConfig } from "../config.ts";
import { Problem } from "./problem.ts";

export interface AuthOptions {
  key: Exclude<KeyConfig, { kind: "generated" }>;
  issuer: string | undefined;
  audience: string | undefined;
  /** The claim that holds the recipient's id. */
  userClaim: string;
  /** The cookie that may hold the token; none where undefined. */
  cookie: string | undefined;
}

/** Who a token speaks for, and when it was issued and ends. */
export interface Identity {
  readonly recipientId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export type Authenticate = (req: Request) => Promise<Identity>;

const MAX_TOKEN_LENGTH = 8192;
const MAX_RECIPIENT_ID_LENGTH = 200;

/**
 * Verifies a request's JWT (RFC 7519): `Authorization: Bearer`, else the configured cookie. Throws Problem 401
 * `token_missing` or `token_invalid`, the latter without saying why; 503 `keys_unavailable` while no key can
 * be fetched. Algorithms are pinned to the kind of key, and `exp` is required: jose asks for neither by itself.
 */
export function createAuthenticator(options: AuthOptions): Authenticate {
  const { issuer, audience, userClaim, cookie } = options;
  const { key, algorithms } = verificationKey(options.key);
  const claims = {
    algorithms,
    requiredClaims: ["exp", userClaim],
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };

  return async (req) => {
    const token = bearerToken(req) ?? cookieToken(req, cookie);
    if (!token) throw tokenMissing(cookie);
    if (token.length > MAX_TOKEN_LENGTH) throw tokenInvalid();
    const { payload } = await jwtVerify(token, key, claims).catch(refuse);
    return toIdentity(payload, userClaim);
  };
}

function verificationKey(key: AuthOptions["key"]): { key: JWTVerifyGetKey; algorithms: string[] } {
  if (key.kind === "secret") {
    const secret = createSecretKey(Buffer.from(key.secret));
    return { key: async () => secret, algorithms: ["HS256"] };
  }
  const algorithms = ["RS256", "ES256", "EdDSA"];
  if (key.kind === "jwks")
    return { key: createRemoteJWKSet(new URL(key.url), { timeoutDuration: 5000 }), algorithms };
  const publicKey = createPublicKey(key.pem);
  return { key: async () => publicKey, algorithms };
}

function bearerToken(req: Request): string | undefined {
  const [scheme, token] = req.get("authorization")?.split(" ") ?? [];
  return scheme?.toLowerCase() === "bearer" ? token : undefined;
}

function cookieToken(req: Request, name: string | undefined): string | undefined {
  return name === undefined ? undefined : parseCookie(req.get("cookie") ?? "")[name];
}

/** jose's codes: ERR_JWT… and ERR_JWS… are about the token, as is a key id nobody has. */
function refuse(cause: unknown): never {
  const isAboutTheToken =
    cause instanceof errors.JOSEError &&
    (/^ERR_(JWT|JWS|JOSE)/.test(cause.code) || cause instanceof errors.JWKSNoMatchingKey);
  if (isAboutTheToken || cause instanceof TypeError) throw tokenInvalid(cause);
  throw new Problem(503, "keys_unavailable", "The keys for tokens cannot be fetched. Try again.", {
    headers: { "Retry-After": "5" },
    cause,
  });
}

function toIdentity(payload: JWTPayload, userClaim: string): Identity {
  const id = payload[userClaim];
  const recipientId = Number.isSafeInteger(id) ? String(id) : id;
  if (typeof recipientId !== "string") throw tokenInvalid();
  if (recipientId === "" || recipientId.length > MAX_RECIPIENT_ID_LENGTH) throw tokenInvalid();
  return {
    recipientId,
    // A token that does not say when it was issued counts as older than any revocation.
    issuedAt: new Date((payload.iat ?? 0) * 1000),
    expiresAt: new Date((payload.exp ?? 0) * 1000),
  };
}

const challenge = (error?: string) => ({
  headers: { "WWW-Authenticate": error ? `Bearer error="${error}"` : "Bearer" },
});

const tokenMissing = (cookie: string | undefined) =>
  new Problem(
    401,
    "token_missing",
    `Send an Authorization: Bearer header${cookie ? `, or the cookie ${cookie}` : ""}.`,
    challenge(),
  );

export const tokenInvalid = (cause?: unknown) =>
  new Problem(401, "token_invalid", "The token is not valid, or no longer.", {
    ...challenge("invalid_token"),
    cause,
  });
