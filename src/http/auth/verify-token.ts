import { createPublicKey } from "node:crypto";
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { KeyConfig } from "../../config.ts";
import { Problem } from "../problem.ts";
import { explainToken } from "./explain-token.ts";
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
  /** How far the signer's clock may be ahead of ours. Applies to `nbf` and `iat`, not to `exp`. */
  leewayMs: number;
}

/** A token's recipient, and when it was issued and expires. */
export interface Identity {
  readonly recipientId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export type VerifyToken = (token: string) => Promise<Identity>;

const MAX_TOKEN_LENGTH = 8192;
const MAX_RECIPIENT_ID_LENGTH = 200;

/** A token of any other type (a logout token, a proof of possession) is not an access token (RFC 8725 §3.11). */
const ACCESS_TOKEN_TYPES = /^(application\/)?(at\+)?jwt$/i;

/**
 * Verifies a JWT (RFC 7519). Throws Problem `token_invalid`, which does not tell the client why, and `keys_unavailable` while no
 * key can be fetched. Each kind of key allows only its own algorithms, and `exp` is required; jose does neither by default. Keys in
 * the token's own header (`jwk`, `jku`, `x5u`) are ignored.
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
    if (token.length > MAX_TOKEN_LENGTH) throw tokenInvalid(undefined, "the token is too long");
    const { payload, protectedHeader } = await jwtVerify(token, getKey, expected).catch((err) =>
      refuse(err, options),
    );
    const { typ = "JWT" } = protectedHeader;
    if (!ACCESS_TOKEN_TYPES.test(typ))
      throw tokenInvalid(undefined, "the token's typ is that of another kind of token");
    const identity = toIdentity(payload, userClaim);
    const now = Date.now();
    // jose applies its tolerance to `exp` as well; we do not.
    if (identity.expiresAt.getTime() <= now) throw tokenInvalid();
    if (identity.issuedAt.getTime() > now + leewayMs) throw tokenAhead("our");
    return identity;
  };
}

/** How jose finds the key, and the algorithms that this kind of key allows. */
function verificationKeys(key: TokenOptions["key"]): {
  getKey: JWTVerifyGetKey;
  algorithms: string[];
} {
  if (key.kind === "secret") {
    // Imported once: jose would import bytes or a KeyObject again for each token, which doubles the time.
    const imported = importSecret(key.secret);
    return { getKey: () => imported, algorithms: ["HS256"] };
  }
  const algorithms = Object.values(ALGORITHMS);
  if (key.kind === "jwks") return { getKey: createRemoteKeys(key.url), algorithms };
  const publicKey = createPublicKey(key.pem);
  const own = ALGORITHMS[publicKey.asymmetricKeyType ?? ""];
  // Only the key's own algorithm, because Node versions throw different errors if a token's `alg` does not fit the key.
  return { getKey: async () => publicKey, algorithms: own ? [own] : algorithms };
}

const importSecret = (secret: string) =>
  crypto.subtle.importKey("raw", Buffer.from(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "verify",
  ]);

/** The algorithm of each kind of public key. */
const ALGORITHMS: Record<string, string> = { rsa: "RS256", ec: "ES256", ed25519: "EdDSA" };

/** For a bad token jose throws its own errors, or a TypeError if the key does not fit `alg`. */
function refuse(cause: unknown, options: TokenOptions): never {
  if (cause instanceof errors.JOSEError || cause instanceof TypeError)
    throw tokenInvalid(cause, explainToken(cause, options));
  throw cause;
}

function toIdentity(payload: JWTPayload, userClaim: string): Identity {
  const id = payload[userClaim];
  const told = Number.isSafeInteger(id) ? String(id) : id;
  if (typeof told !== "string") throw tokenInvalid(undefined, NO_RECIPIENT);
  if (hasLoneSurrogate(told))
    throw tokenInvalid(undefined, "the token's recipient holds half of a surrogate pair");
  const recipientId = sameId(told);
  const isUsable = recipientId !== "" && recipientId.length <= MAX_RECIPIENT_ID_LENGTH;
  // PostgreSQL's text cannot hold U+0000.
  if (!isUsable || recipientId.includes("\0")) throw tokenInvalid(undefined, NO_RECIPIENT);
  // A token without `iat` counts as older than any revocation.
  const issuedAt = toDate(payload.iat ?? 0);
  const expiresAt = toDate(payload.exp ?? 0);
  return { recipientId, issuedAt, expiresAt };
}

const NO_RECIPIENT =
  "the token's recipient (JWT_USER_CLAIM) is not a text of 1 to 200 characters, nor an integer";

/** A token may contain any number. The year 9999 is the last that PostgreSQL and JavaScript both accept. */
const toDate = (seconds: number) =>
  new Date(Math.min(Math.max(seconds, 0), Date.UTC(9999, 11) / 1000) * 1000);

export const tokenInvalid = (cause?: unknown, reason?: string) =>
  new Problem("token_invalid", "The token is not valid, or is no longer valid.", {
    headers: { "WWW-Authenticate": 'Bearer error="invalid_token"' },
    cause,
    reason,
  });

/** A token whose `iat` is further ahead than the leeway would outlive a revocation. */
export const tokenAhead = (whose: string) =>
  tokenInvalid(
    undefined,
    `the token's iat is further ahead of ${whose} clock than JWT_LEEWAY_SECONDS`,
  );
