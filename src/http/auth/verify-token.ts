import { createPublicKey } from "node:crypto";
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { KeyConfig } from "../../config.ts";
import { Problem } from "../problem.ts";
import { hasLoneSurrogate, sameId } from "./recipient-id.ts";
import { createRemoteKeys } from "./remote-keys.ts";

export interface TokenOptions {
  key: Exclude<KeyConfig, { kind: "generated" }>;
  issuer: string | undefined;
  audience: string | undefined;
  /** The claim that holds the recipient's id. */
  userClaim: string;
}

export interface VerifyOptions extends TokenOptions {
  /** How far the clock of whoever signs tokens may be ahead of ours: for `nbf` and `iat`, not for `exp`. */
  leewayMs: number;
}

/** Who a token speaks for, and when it was issued and ends. */
export interface Identity {
  readonly recipientId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export type VerifyToken = (token: string) => Promise<Identity>;

const MAX_TOKEN_LENGTH = 8192;
const MAX_RECIPIENT_ID_LENGTH = 200;

/** A token that says it is something else (a logout token, a proof of possession) is no access token (RFC 8725 §3.11). */
const ACCESS_TOKEN_TYPES = /^(application\/)?(at\+)?jwt$/i;

/**
 * Verifies a JWT (RFC 7519). Throws Problem `token_invalid`, without saying why, and `keys_unavailable` while no key
 * can be fetched. Algorithms are pinned to the kind of key, and `exp` is required: jose asks for neither by itself.
 * What a token's header says of keys (`jwk`, `jku`, `x5u`) is not looked at.
 */
export function createTokenVerifier(options: VerifyOptions): VerifyToken {
  const { issuer, audience, userClaim, leewayMs } = options;
  const { getKey, algorithms } = verificationKeys(options.key);
  const expected = {
    algorithms,
    requiredClaims: ["exp", userClaim],
    clockTolerance: leewayMs / 1000,
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };

  return async (token) => {
    if (token.length > MAX_TOKEN_LENGTH) throw tokenInvalid();
    const { payload, protectedHeader } = await jwtVerify(token, getKey, expected).catch(refuse);
    const { typ = "JWT" } = protectedHeader;
    if (!ACCESS_TOKEN_TYPES.test(typ)) throw tokenInvalid();
    const identity = toIdentity(payload, userClaim);
    const now = Date.now();
    // jose's tolerance is for `exp` as well.
    if (identity.expiresAt.getTime() <= now) throw tokenInvalid();
    if (identity.issuedAt.getTime() > now + leewayMs) throw tokenAhead("our");
    return identity;
  };
}

/** The key for a token, and the algorithms that this kind of key verifies. */
function verificationKeys(key: TokenOptions["key"]): {
  getKey: JWTVerifyGetKey;
  algorithms: string[];
} {
  if (key.kind === "secret") {
    // Imported once: jose would import a KeyObject or bytes again for each token, which takes as long again as the rest.
    const imported = importSecret(key.secret);
    return { getKey: () => imported, algorithms: ["HS256"] };
  }
  const algorithms = Object.values(ALGORITHMS);
  if (key.kind === "jwks") return { getKey: createRemoteKeys(key.url), algorithms };
  const publicKey = createPublicKey(key.pem);
  const own = ALGORITHMS[publicKey.asymmetricKeyType ?? ""];
  // Pinned: what is thrown where a token's `alg` does not fit the key, differs between Node's versions.
  return { getKey: async () => publicKey, algorithms: own ? [own] : algorithms };
}

const importSecret = (secret: string) =>
  crypto.subtle.importKey("raw", Buffer.from(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "verify",
  ]);

/** The algorithm of each kind of public key. */
const ALGORITHMS: Record<string, string> = { rsa: "RS256", ec: "ES256", ed25519: "EdDSA" };

/** jose throws its own errors for what is wrong with a token, and TypeErrors for a key that does not fit its `alg`. */
function refuse(cause: unknown): never {
  if (cause instanceof errors.JOSEError || cause instanceof TypeError) throw tokenInvalid(cause);
  throw cause;
}

function toIdentity(payload: JWTPayload, userClaim: string): Identity {
  const id = payload[userClaim];
  const told = Number.isSafeInteger(id) ? String(id) : id;
  if (typeof told !== "string") throw tokenInvalid();
  if (hasLoneSurrogate(told))
    throw tokenInvalid(undefined, "the token's recipient holds half of a surrogate pair");
  const recipientId = sameId(told);
  if (recipientId === "" || recipientId.length > MAX_RECIPIENT_ID_LENGTH) throw tokenInvalid();
  if (recipientId.includes("\0")) throw tokenInvalid(); // PostgreSQL's text cannot hold it
  // A token that does not say when it was issued counts as older than any revocation.
  const issuedAt = toDate(payload.iat ?? 0);
  const expiresAt = toDate(payload.exp ?? 0);
  return { recipientId, issuedAt, expiresAt };
}

/** A token may carry any number; the last that is a time for PostgreSQL and for JavaScript is the year 9999. */
const toDate = (seconds: number) =>
  new Date(Math.min(Math.max(seconds, 0), Date.UTC(9999, 11) / 1000) * 1000);

export const tokenInvalid = (cause?: unknown, reason?: string) =>
  new Problem("token_invalid", "The token is not valid, or is no longer valid.", {
    headers: { "WWW-Authenticate": 'Bearer error="invalid_token"' },
    cause,
    reason,
  });

/** A token from further ahead would be good for longer after a revocation than anybody expects. */
export const tokenAhead = (whose: string) =>
  tokenInvalid(
    undefined,
    `the token's iat is further ahead of ${whose} clock than JWT_LEEWAY_SECONDS`,
  );
