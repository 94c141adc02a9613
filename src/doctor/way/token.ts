import { createHmac } from "node:crypto";
import type { KeyConfig } from "../../config.ts";
import { describeSkew, skewSeconds } from "./clock.ts";
import { toObject } from "./events.ts";
import type { Head } from "./request.ts";

/** What this machine's environment says of tokens; what is unknown is undefined. */
export interface TokenSettings {
  key: KeyConfig | undefined;
  issuer: string | undefined;
  audience: string | undefined;
  userClaim: string;
}

/** A token, and what can be said of it without the service. It is never printed. */
export type Given = ReturnType<typeof examineToken>;

const RETRY = "then run doctor again.";

export function examineToken(token: string, settings: TokenSettings) {
  const [head, payload] = token.split(".").map(decode);
  const claims = payload ?? {};
  const recipient = claims[settings.userClaim];

  /** What to do if the service finds the token invalid. It does not tell the client why, so this compares all that is known. */
  function explain(answer: Head): string {
    const now = Date.now() / 1000;
    const skew = skewSeconds(answer);
    if (token.split(".").length !== 3 || !head?.alg)
      return `What --token has is no JWT (three parts with dots). Make one: bellwire token ${recipientText(recipient)}; ${RETRY}`;
    if (typeof claims.exp !== "number")
      return `The token has no exp, which is required. Let what signs it set one; ${RETRY}`;
    if (claims.exp <= now)
      return `The token expired at ${toTime(claims.exp)}. Take a new one (bellwire token ${recipientText(recipient)}); ${RETRY}`;
    if (Math.abs(skew) > 30)
      return `The clock behind the URL is ${describeSkew(skew)}, so a good token may count as expired or as issued in the future. Set the clocks (timedatectl set-ntp true); ${RETRY}`;
    if (typeof claims.iat === "number" && claims.iat > now + 30)
      return `The token was issued in the future (iat ${toTime(claims.iat)}). Set the clock of what signs it; ${RETRY}`;
    if (recipient === undefined || recipient === "")
      return `The token has no claim ${settings.userClaim}, which names the recipient. Set JWT_USER_CLAIM of the service to the claim that it has; ${RETRY}`;
    return compare(claims, head);
  }

  function compare(
    claims: Readonly<Record<string, unknown>>,
    head: Readonly<Record<string, unknown>>,
  ) {
    const { key, issuer, audience } = settings;
    if (issuer !== undefined && claims.iss !== issuer)
      return `The token's iss is ${JSON.stringify(claims.iss)}, and JWT_ISSUER here is ${JSON.stringify(issuer)}. Make them the same in what signs tokens and in the service.`;
    if (audience !== undefined && ![claims.aud].flat().includes(audience))
      return `The token's aud is ${JSON.stringify(claims.aud)}, and JWT_AUDIENCE here is ${JSON.stringify(audience)}. Make them the same in what signs tokens and in the service.`;
    if (key?.kind === "secret" && head.alg !== "HS256")
      return `The token is signed with ${head.alg}, and JWT_SECRET verifies only HS256. Sign with HS256, or set JWT_PUBLIC_KEY or JWT_JWKS_URL.`;
    if (key?.kind === "secret" && !isSignedWith(token, key.secret))
      return "The token is not signed with the JWT_SECRET of this environment. Give what signs tokens and the service the same JWT_SECRET.";
    if (key?.kind === "secret")
      return 'The token fits the JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE of this environment, so the running service has others, or the recipient was revoked (bellwire.revoke) after it was issued. The service\'s log says which ("refused").';
    return `The service's log says why ("refused"). The token has alg ${head.alg}, iss ${JSON.stringify(claims.iss)}, aud ${JSON.stringify(claims.aud)} and recipient ${JSON.stringify(recipient)}. They and its key must be what the service's JWT_… variables say.`;
  }

  return {
    recipientId: recipient === undefined ? undefined : String(recipient),
    explain,
  };
}

const recipientText = (recipient: unknown) =>
  typeof recipient === "string" && /^[\w-]+$/.test(recipient) ? recipient : "<recipient>";

const toTime = (seconds: number) =>
  Math.abs(seconds) < 8e12 ? new Date(seconds * 1000).toISOString() : String(seconds);

const decode = (part: string) => toObject(Buffer.from(part, "base64url").toString());

function isSignedWith(token: string, secret: string): boolean {
  const end = token.lastIndexOf(".");
  const signature = createHmac("sha256", secret).update(token.slice(0, end)).digest("base64url");
  return signature === token.slice(end + 1);
}
