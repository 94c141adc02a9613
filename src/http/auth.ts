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
  if (key.kind === "jwks") return { key: remoteKey(key.url), algorithms };
  const publicKey = createPublicKey(key.pem);
  return { key: async () => publicKey, algorithms };
}

/** A key that cannot be had is not the token's fault, unless the token names none, or one that nobody has. */
function remoteKey(url: string): JWTVerifyGetKey {
  const find = createRemoteJWKSet(new URL(url), { timeoutDuration: 5000 });
  return (header, token) =>
    find(header, token).catch((cause) => {
      const isAboutTheToken =
        cause instanceof errors.JWKSNoMatchingKey ||
        cause instanceof errors.JWKSMultipleMatchingKeys;
      throw isAboutTheToken ? cause : keysUnavailable(cause);
    });
}

function bearerToken(req: Request): string | undefined {
  return /^bearer +(.*)$/i.exec(req.get("authorization") ?? "")?.[1];
}

function cookieToken(req: Request, name: string | undefined): string | undefined {
  return name === undefined ? undefined : parseCookie(req.get("cookie") ?? "")[name];
}

/** jose throws its own errors for what is wrong with a token, and TypeErrors for a key that does not fit its `alg`. */
function refuse(cause: unknown): never {
  if (cause instanceof errors.JOSEError || cause instanceof TypeError) throw tokenInvalid(cause);
  throw cause;
}

function toIdentity(payload: JWTPayload, userClaim: string): Identity {
  const id = payload[userClaim];
  const recipientId = Number.isSafeInteger(id) ? String(id) : id;
  if (typeof recipientId !== "string") throw tokenInvalid();
  if (recipientId === "" || recipientId.length > MAX_RECIPIENT_ID_LENGTH) throw tokenInvalid();
  if (recipientId.includes("\0")) throw tokenInvalid(); // PostgreSQL's text cannot hold it
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

const keysUnavailable = (cause: unknown) =>
  new Problem(503, "keys_unavailable", "The keys for tokens cannot be fetched. Try again.", {
    headers: { "Retry-After": "5" },
    cause,
  });

export const tokenInvalid = (cause?: unknown) =>
  new Problem(401, "token_invalid", "The token is not valid, or no longer.", {
    ...challenge("invalid_token"),
    cause,
  });
