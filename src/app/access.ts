import type { Config } from "../config.ts";
import { createBatchedFindStanding, createFindStanding } from "../db/revocations.ts";
import { createTickets } from "../db/tickets.ts";
import type { Writes } from "../db/writes.ts";
import { createAuthenticator } from "../http/auth/authenticate.ts";
import { identify } from "../http/auth/identify.ts";
import { verificationKey } from "../http/auth/keys.ts";
import { createMinter } from "../http/auth/sign.ts";
import { issueTicket, withTicket } from "../http/auth/tickets.ts";
import { createTokenVerifier } from "../http/auth/verify-token.ts";
import type { Reading } from "./reading.ts";

export interface AccessOptions {
  config: Pick<Config, "key" | "database" | "token" | "leewayMs" | "allowedOrigins">;
  reading: Pick<Reading, "pools" | "feed">;
  writes: Pick<Writes, "watch">;
}

export type Access = Awaited<ReturnType<typeof openAccess>>;

/** Authentication: who sends a request, and whether that token still holds. Only this part has the key that verifies tokens. */
export async function openAccess({ config, reading, writes }: AccessOptions) {
  const { leewayMs, allowedOrigins } = config;
  const { issuer, audience, userClaim, cookie } = config.token;
  const { pools, feed } = reading;
  const token = { key: await verificationKey(config), issuer, audience, userClaim };
  const verifyToken = createTokenVerifier({ ...token, leewayMs });
  const authenticate = createAuthenticator({ verifyToken, cookie, allowedOrigins });
  const findStanding = createFindStanding(pools.requests, leewayMs);
  const tickets = createTickets(pools.streams);
  const isRedeemed = (holder: unknown) => holder !== undefined;

  return {
    /** For single requests. */
    identify: identify(authenticate, findStanding, feed.position),
    findStanding,
    issueTicket: issueTicket(writes.watch(tickets.issue)),
    /** For connections, which may all open at once after a restart. */
    connections: {
      authenticate: withTicket(authenticate, writes.watch(tickets.redeem, isRedeemed)),
      findStanding: createBatchedFindStanding(pools.streams, leewayMs),
    },
    /** For the demo, whose visitors have no token. */
    mintToken: createMinter(token),
  };
}
