import { randomBytes } from "node:crypto";
import { type Finding, well } from "../finding.ts";
import { type Canary, type NoCanary, openCanary } from "./canary.ts";
import { checkClock } from "./clock.ts";
import { checkCookie } from "./cookie.ts";
import { checkCors } from "./cors.ts";
import { checkHttpVersion, negotiate } from "./edge.ts";
import { explainFailure } from "./failure.ts";
import { checkHealth, checkVersions } from "./health.ts";
import { checkHops, readLocalStatus } from "./hops.ts";
import { explainStranger } from "./in-our-place.ts";
import { checkMetricsPort } from "./metrics-port.ts";
import { isOurs, nameOf, proxyOf } from "./proxy.ts";
import { explainRefusal } from "./refusal.ts";
import { type Answer, type Failure, isFailure } from "./request.ts";
import { checkPoll, checkStrangers, checkWrites } from "./requests.ts";
import { createSite, type Site } from "./site.ts";
import { checkStream } from "./stream-checks.ts";
import { examineToken, type Given, type TokenSettings } from "./token.ts";

export interface WayOptions {
  /** The site, or its path to the API. */
  url: string;
  token: string;
  /** Of a page on another origin, that shows the bell. */
  origin?: string | undefined;
  /** To write a row to the token's recipient, and delete it. */
  databaseUrl?: string | undefined;
  settings: WaySettings;
  /** How long to watch a quiet stream. */
  watchMs?: number | undefined;
}

/** What this machine's environment says of the service; what is unknown is undefined. */
export interface WaySettings extends TokenSettings {
  metricsPort: number;
  heartbeatMs: number | undefined;
  cookie: string | undefined;
  allowedOrigins: readonly string[] | undefined;
}

/** Examines the way from a browser to the service, through everything that is between them. */
export async function examineWay(options: WayOptions): Promise<Finding[]> {
  const marker = randomBytes(8).toString("hex");
  const site = createSite({ ...options, marker });
  const given = examineToken(options.token, options.settings);
  const protocol = await negotiate(site.api);
  if (typeof protocol === "object") return [explainFailure(protocol, site.api)];

  // A response that is complete, unlike a stream, is held back by nothing.
  const answer = await site.ask("/unread-count");
  const trouble = await explainTrouble(answer, given, site);
  if (isFailure(answer)) return trouble;
  const edge = [checkHttpVersion(site, protocol, answer), checkClock(answer)];
  if (trouble.length > 0) return [...edge, ...trouble];
  return [...edge, ...(await examineAll(options, site, given, marker, answer))];
}

async function explainTrouble(
  answer: Answer | Failure,
  given: Given,
  site: Site,
): Promise<Finding[]> {
  const url = new URL(`${site.api.href}/unread-count`);
  if (isFailure(answer)) return [explainFailure(answer, url)];
  if (!isOurs(answer)) return [explainStranger(answer, url)];
  if (answer.status === 200) return [];
  const health = await checkHealth(site);
  return [...health.filter(({ level }) => level !== "well"), explainRefusal(answer, given, url)];
}

async function examineAll(
  { token, origin, databaseUrl, settings, watchMs }: WayOptions,
  site: Site,
  given: Given,
  marker: string,
  answer: Answer,
): Promise<Finding[]> {
  const proxy = proxyOf(answer);
  const local = await readLocalStatus(site, settings.metricsPort, marker);
  const running = typeof local === "string" ? undefined : local.settings;
  const cookie = running?.JWT_COOKIE ?? settings.cookie;
  const heartbeatMs = running ? running.HEARTBEAT_SECONDS * 1000 : settings.heartbeatMs;
  const canary = await openCanaryFor(databaseUrl, given);
  try {
    const found = await Promise.all([
      checkStream({
        ...{ site, given, heartbeatMs, watchMs, proxy },
        canary: canary && "write" in canary ? canary : undefined,
      }),
      checkWrites(site),
      checkPoll(site),
      checkStrangers(site),
      checkPages({
        ...{ site, token, origin, cookie },
        allowedOrigins: running?.ALLOWED_ORIGINS ?? settings.allowedOrigins,
      }),
      checkHealth(site),
      checkMetricsPort(site, settings.metricsPort),
    ]);
    return [
      well(
        "reach",
        `${site.api.host} leads to the service${proxy ? `, through ${nameOf(proxy)}` : ""}`,
      ),
      ...checkVersions(site.versions),
      ...checkHops(local, site.api, proxy),
      ...found.flat(),
      ...explainNoCanary(canary),
    ];
  } finally {
    if (canary && "close" in canary) await canary.close();
  }
}

/** What pages need: CORS if they are of another origin, and cookies if these are accepted. */
async function checkPages({
  site,
  token,
  origin = site.api.origin,
  cookie,
  allowedOrigins,
}: {
  site: Site;
  token: string;
  origin: string | undefined;
  cookie: string | undefined;
  allowedOrigins: readonly string[] | undefined;
}): Promise<Finding[]> {
  const cors = await checkCors({ site, origin, allowedOrigins });
  if (!cookie || cors.some(({ level }) => level === "broken")) return cors;
  return [...cors, await checkCookie({ site, name: cookie, token, origin })];
}

const openCanaryFor = async (databaseUrl: string | undefined, { recipientId }: Given) =>
  databaseUrl && recipientId !== undefined ? openCanary(databaseUrl, recipientId) : undefined;

const explainNoCanary = (canary: Canary | NoCanary | undefined): Finding[] =>
  canary && "reason" in canary
    ? [
        well(
          "canary",
          `not written: ${canary.reason}. Pings had to do; to see when a row arrives, set DATABASE_URL to the owner's for this command`,
        ),
      ]
    : [];
