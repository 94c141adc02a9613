import { broken, type Finding, look, well } from "../finding.ts";
import { toSeconds } from "./delivery.ts";
import { directive } from "./directives.ts";
import { nameOf, type ProxyName } from "./proxy.ts";
import type { EventStream, Heard } from "./stream.ts";

/** A heartbeat comes after the interval plus or minus a fifth, and the service looks once a second. */
const SLACK = 1.2;
const TICK_MS = 2000;
/** Also if the interval is unknown. Proxies cut a silent stream after 30 or 60 s, so rarer heartbeats are of no use. */
const MAX_MS = 45_000;

export const heartbeatLimitMs = (intervalMs = MAX_MS): number =>
  Math.min(MAX_MS, intervalMs * SLACK + TICK_MS);

const isPing = ({ event, retry }: Heard) => event === "ping" && retry === undefined;

export interface HeartbeatOptions {
  stream: EventStream;
  proxy: ProxyName | undefined;
  intervalMs: number | undefined;
  /** How far the service's clock is ahead of ours. */
  skewMs: number;
}

/** Waits for a heartbeat, which says when it was sent. */
export async function checkHeartbeat(options: HeartbeatOptions): Promise<Finding> {
  const { stream, proxy, intervalMs, skewMs } = options;
  if (intervalMs !== undefined && intervalMs * SLACK > MAX_MS)
    return silent(`HEARTBEAT_SECONDS is ${intervalMs / 1000}`, proxy);
  const limitMs = heartbeatLimitMs(intervalMs);
  const ping = await stream.hear(isPing, limitMs);
  if (!ping) {
    const end = await stream.ended(0);
    return end
      ? explainEnd(stream, end, proxy)
      : silent(`no ping came in ${toSeconds(limitMs)}`, proxy);
  }
  const sentAt = Date.parse(String(ping.data.time)) - skewMs - performance.timeOrigin;
  const lateMs = ping.at - sentAt;
  if (lateMs > 2500)
    return broken("one_behind", {
      seen: `a ping came ${toSeconds(lateMs)} after it was sent`,
      why: `${nameOf(proxy)} holds each event back until more follows, so a notification shows up only with the next event.`,
      fix: directive("buffering", proxy),
    });
  return well("heartbeat", `a ping came through after ${toSeconds(ping.at - stream.openedAt)}`);
}

const silent = (seen: string, proxy: ProxyName | undefined) =>
  look("heartbeat", {
    seen,
    why: "A proxy closes a stream that is silent for its time-out, often 30 or 60 s, and the client cannot tell a dead stream from a quiet one.",
    fix: `Set HEARTBEAT_SECONDS to 15. If it is: ${directive("buffering", proxy)}`,
  });

/** How long a stream lives on which nothing but heartbeats comes. */
export async function checkLifetime(
  { stream, proxy }: Pick<HeartbeatOptions, "stream" | "proxy">,
  watchMs: number,
): Promise<Finding> {
  const end = await stream.ended(watchMs - (performance.now() - stream.openedAt));
  if (end) return explainEnd(stream, end, proxy);
  return well("lifetime", `a quiet stream was open for ${toSeconds(watchMs)}`);
}

function explainEnd(
  { openedAt, heard }: EventStream,
  end: { at: number; isCut: boolean },
  proxy: ProxyName | undefined,
): Finding {
  const last = heard.at(-1);
  const livedMs = end.at - openedAt;
  if (last?.event === "auth" || (last?.retry !== undefined && last.event === "ping"))
    return look("lifetime", {
      seen: `the service itself ended the stream after ${toSeconds(livedMs)}${last.event === "auth" ? `: ${last.event} ${last.data.reason}` : ""}`,
      why: "A bell reconnects at once and loses nothing. If it happens often, the database has more to read.",
      fix: "See whether the service was restarted, whether MAX_STREAM_SECONDS is low, or the token short-lived.",
    });
  const quietMs = end.at - (last?.at ?? openedAt);
  return broken("lifetime", {
    seen: `${nameOf(proxy)} ended the stream after ${toSeconds(livedMs)}, ${toSeconds(quietMs)} after its last event`,
    why: `Each bell reconnects this often, and is deaf for a second each time.${known(quietMs) ?? known(livedMs) ?? ""}`,
    fix: directive("timeout", proxy),
  });
}

/** Time-outs that are somebody's default. */
const DEFAULTS: [seconds: number, whose: string][] = [
  [30, "Next.js rewrites and Google's load balancers"],
  [55, "Heroku"],
  [60, "nginx, AWS load balancers and Fly"],
  [100, "Cloudflare"],
  [240, "Azure"],
];

function known(ms: number): string | undefined {
  const found = DEFAULTS.find(([seconds]) => Math.abs(ms / 1000 - seconds) < 1.5);
  return found && ` ${found[0]} s is the default of ${found[1]}.`;
}
