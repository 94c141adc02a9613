import type { Finding } from "../finding.ts";
import type { Canary } from "./canary.ts";
import { skewSeconds } from "./clock.ts";
import { checkReady, checkRows } from "./delivery.ts";
import { explainFailure } from "./failure.ts";
import { explainStranger } from "./in-our-place.ts";
import { checkHeartbeat, checkLifetime, heartbeatLimitMs } from "./lifetime.ts";
import { isOurs, type ProxyName, proxyOf } from "./proxy.ts";
import { explainRefusal } from "./refusal.ts";
import { type Failure, type Head, isFailure } from "./request.ts";
import { checkLastEventId, checkResume } from "./resume.ts";
import type { Site } from "./site.ts";
import { explainSoftRefusal } from "./soft-refusal.ts";
import type { EventStream } from "./stream.ts";
import { checkSharing, checkStreamHeaders } from "./stream-headers.ts";
import type { Given } from "./token.ts";

export interface StreamChecksOptions {
  site: Site;
  given: Given;
  canary: Canary | undefined;
  /** HEARTBEAT_SECONDS of the service, where known. */
  heartbeatMs: number | undefined;
  /** How long to watch a quiet stream; undefined: only for a heartbeat. */
  watchMs: number | undefined;
  /** As recognised by another response, for a stream that says nothing at all. */
  proxy: ProxyName | undefined;
}

/** Also for `ready`, which comes with the head. */
const HEAD_MS = 3500;

/** How long to wait for an event that pushes `ready` out of a buffer: a heartbeat of 15 s, plus a fifth. */
const PUSH_MS = 16_000;

/** Opens a stream as a browser and one as another client, and judges what arrives on them. */
export async function checkStream(options: StreamChecksOptions): Promise<Finding[]> {
  const { site, canary, watchMs } = options;
  const browser = site.open("browser");
  const program = site.open("program");
  try {
    const head = await browser.head(HEAD_MS);
    const trouble = head && (await explainHead(head, browser, options));
    if (trouble) return [trouble];
    const proxy = head && !isFailure(head) ? (proxyOf(head) ?? options.proxy) : options.proxy;
    const limitMs = Math.min(heartbeatLimitMs(options.heartbeatMs), PUSH_MS);
    const flowing = { site, browser, program, proxy };
    const flow = await (canary ? checkRows(flowing, canary) : checkReady(flowing, limitMs));
    const headers = head && !isFailure(head) ? checkStreamHeaders(head) : [];
    const other = await program.head(0);
    const sharing =
      head && other && !isFailure(head) && !isFailure(other) ? checkSharing(head, other) : [];
    const found = [...headers, ...sharing, ...flow];
    if (found.some(({ level }) => level === "broken")) return found;

    const lastEventId = await checkLastEventId({ site, proxy });
    const skewMs = head && !isFailure(head) ? skewSeconds(head) * 1000 : 0;
    const [resume, life] = await Promise.all([
      canary && lastEventId.level === "well" ? checkResume({ site, proxy }, program, canary) : [],
      checkHeartbeat({ stream: browser, proxy, intervalMs: options.heartbeatMs, skewMs }),
    ]);
    const isAlive = life.level === "well" && watchMs !== undefined;
    const lifetime = isAlive ? [await checkLifetime({ stream: browser, proxy }, watchMs)] : [];
    return [...found, lastEventId, ...resume, life, ...lifetime];
  } finally {
    browser.close();
    program.close();
  }
}

/** What is wrong if this is no event stream of the service; undefined if it may be one. */
async function explainHead(
  head: Head | Failure,
  stream: EventStream,
  { site, given }: StreamChecksOptions,
): Promise<Finding | undefined> {
  const url = new URL(`${site.api.href}/stream`);
  if (isFailure(head)) return explainFailure(head, url);
  const isStream = /^text\/event-stream/.test(head.headers["content-type"] ?? "");
  if (head.status === 200 && isStream) return explainSoftRefusal(head, stream);
  await stream.ended(2000);
  const answer = { ...head, body: stream.text() };
  return isOurs(head) ? explainRefusal(answer, given, url) : explainStranger(answer, url);
}
