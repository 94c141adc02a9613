import { errors } from "jose";

/** The variable that holds each kind of key. */
const KEY = { secret: "JWT_SECRET", publicKey: "JWT_PUBLIC_KEY", jwks: "JWT_JWKS_URL" };

interface Expected {
  key: { kind: keyof typeof KEY };
  /** The claim that holds the recipient's id. */
  userClaim: string;
}

/**
 * Why a token is refused, for the operator: what application and service must agree on. It quotes nothing of the token. Undefined for a
 * token that has expired, because every token does.
 */
export function explainToken(err: unknown, options: Expected): string | undefined {
  const key = KEY[options.key.kind];
  if (err instanceof errors.JWTExpired) return undefined;
  if (err instanceof errors.JWTClaimValidationFailed) return explainClaim(err, options);
  if (err instanceof errors.JWSSignatureVerificationFailed)
    return `the token is not signed with the key of ${key}`;
  if (err instanceof errors.JOSEAlgNotAllowed)
    return `the token's alg is not one for the key of ${key}`;
  if (err instanceof errors.JWKSNoMatchingKey || err instanceof errors.JWKSMultipleMatchingKeys)
    return "JWT_JWKS_URL has no key, or several, for the token's kid and alg";
  return "the token is not a JWT (three parts, signed)";
}

function explainClaim(
  { claim, reason }: errors.JWTClaimValidationFailed,
  { userClaim }: Expected,
): string {
  if (claim === "iss") return "the token's iss is not JWT_ISSUER";
  if (claim === "aud") return "the token's aud is not JWT_AUDIENCE";
  if (claim === "nbf") return "the token's nbf is in the future";
  if (reason !== "missing") return "a claim of the token has a wrong type";
  return claim === userClaim
    ? "the token lacks the claim of JWT_USER_CLAIM"
    : "the token lacks exp, which is required";
}
