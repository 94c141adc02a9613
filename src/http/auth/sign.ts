import { SignJWT } from "jose";
import type { TokenOptions } from "./verify-token.ts";

/**
 * Signs tokens that `createTokenVerifier` accepts with the same options. For the demo and for trials; an application signs its
 * tokens itself. The returned function throws if the key cannot sign.
 */
export function createMinter({ key, issuer, audience, userClaim }: TokenOptions) {
  return (recipientId: string, ttlSeconds = 3600): Promise<string> => {
    if (key.kind !== "secret")
      throw new Error("Only JWT_SECRET can sign a token; with a public key its owner must.");
    const now = Math.floor(Date.now() / 1000);
    const token = new SignJWT({ [userClaim]: recipientId })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuedAt(now)
      .setExpirationTime(now + ttlSeconds);
    if (issuer !== undefined) token.setIssuer(issuer);
    if (audience !== undefined) token.setAudience(audience);
    return token.sign(Buffer.from(key.secret));
  };
}
