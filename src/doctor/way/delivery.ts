import { broken, type Finding, look, well } from "../finding.ts";
import type { Canary } from "./canary.ts";
import { directive } from "./directives.ts";
import { toObject } from "./events.ts";
import { nameOf, type ProxyName } from "./proxy.ts";
import { isFailure } from "./request.ts";
import type { Site } from "./site.ts";
import type { EventStream, Heard } from "./stream.ts";

export interface DeliveryOptions {
  site: Pick<Site, "ask">;
  browser: EventStream;
  program: EventStream;
  proxy: ProxyName | undefined;
}

/** A healthy way takes milliseconds. */
const READY_MS = 3500;
const ROW_MS = 2500;
const NEXT_MS = 2000;
const POLL_SECONDS = 5;

const isReady = ({ event }: Heard) => event === "ready";
export const isRow =
  (id: string) =>
  ({ event, data }: Heard): boolean =>
    event === "notification" && data.id === id;

/**
 * Writes rows and watches when they arrive. The same row is asked for by a poll, whose response is complete and so held by nothing: it
 * tells a service that is late from a proxy that is.
 */
export async function checkRows(options: DeliveryOptions, canary: Canary): Promise<Finding[]> {
  const { site, browser, program, proxy } = options;
  const ready = await hearReady(browser);
  const polling = pollForRow(site);
  const since = await polling.since;
  const row = await canary.write();
  if (!row) return [muted(canary.recipientId)];
  const polled = polling.until(row.id);
  const arrived = await browser.hear(isRow(row.id), ROW_MS);
  if (!arrived) return [await explainSilence(options, canary, row, await polled)];
  const polledMs = since === undefined ? undefined : await polled;

  const rows = [row];
  for (let i = 0; i < 2; i++) {
    // Not before both have the last one: each row would push the one before it out of a buffer.
    await program.hear(isRow(rows.at(-1)?.id ?? ""), ROW_MS);
    const next = await canary.write();
    if (!next) break;
    rows.push(next);
    await browser.hear(isRow(next.id), ROW_MS);
  }
  await program.hear(isRow(rows.at(-1)?.id ?? ""), ROW_MS);
  const asBrowser = Math.min(...rows.map((each) => arrival(browser, each) - each.at));
  // A ping pushes a row as well, so the middle one counts.
  const behind = rows.map((each) => arrival(program, each) - arrival(browser, each));
  const [, middle = 0] = behind.sort((a, b) => a - b);
  return [
    judgeReady(browser, ready, proxy),
    judgeLateness(asBrowser, polledMs, proxy),
    ...judgeChunks(middle, proxy),
  ];
}

/** Without a canary: whether `ready` came, and when. */
export async function checkReady(
  { browser, proxy }: DeliveryOptions,
  heartbeatMs: number,
): Promise<Finding[]> {
  const inTime = await hearReady(browser);
  if (inTime) return [judgeReady(browser, inTime, proxy)];
  const late = await browser.hear(isReady, heartbeatMs);
  return [
    late
      ? oneBehind(
          `ready came after ${toSeconds(late.at - browser.openedAt)}, when the service had sent the next event`,
          proxy,
        )
      : held(proxy),
  ];
}

const arrival = ({ heard }: EventStream, { id }: { id: string }): number =>
  heard.find(isRow(id))?.at ?? Number.POSITIVE_INFINITY;

const hearReady = (stream: EventStream) =>
  stream.hear(isReady, READY_MS - (performance.now() - stream.openedAt));

function pollForRow(site: Pick<Site, "ask">) {
  const since = site.ask("/poll").then((answer) => {
    const cursor = isFailure(answer) ? undefined : toObject(answer.body).cursor;
    return typeof cursor === "string" ? cursor : undefined;
  });
  return {
    since,
    /** How long after now the row was in a poll's answer; undefined if it was not. */
    async until(id: string): Promise<number | undefined> {
      const startedAt = performance.now();
      const cursor = await since;
      if (cursor === undefined) return undefined;
      const path = `/poll?since=${encodeURIComponent(cursor)}&wait=${POLL_SECONDS}`;
      const answer = await site.ask(path, {}, (POLL_SECONDS + 2) * 1000);
      const has = !isFailure(answer) && answer.body.includes(`"id":"${id}"`);
      return has ? performance.now() - startedAt : undefined;
    },
  };
}

/** The first row has not come. One more row shows whether it waits for that one. */
async function explainSilence(
  { browser, proxy }: DeliveryOptions,
  canary: Canary,
  row: { id: string },
  polledMs: number | undefined,
): Promise<Finding> {
  await canary.write();
  const pushed = await browser.hear(isRow(row.id), NEXT_MS);
  if (pushed) return oneBehind("a row came only when the next one was written", proxy);
  if (polledMs === undefined && browser.heard.some(isReady))
    return broken("delivery", {
      seen: `a row that was committed ${toSeconds(ROW_MS + NEXT_MS)} ago came neither on the stream nor by /poll`,
      why: "The service does not hear of new rows, or reads another database than DATABASE_URL here.",
      fix: "Compare DATABASE_URL with the service's, and examine the database's side: bellwire doctor",
    });
  return held(proxy);
}

const held = (proxy: ProxyName | undefined): Finding =>
  broken("buffering", {
    seen: `${nameOf(proxy)} holds the stream back: nothing came in ${toSeconds(READY_MS)} and more, while other requests are answered at once`,
    why: "The bell gets its events when the stream ends, or never. The client then falls back to polling.",
    fix: directive("buffering", proxy),
  });

const oneBehind = (seen: string, proxy: ProxyName | undefined): Finding =>
  broken("one_behind", {
    seen: `${nameOf(proxy)} is one event behind: ${seen}`,
    why: "Each notification shows up only with the next one, which may be hours later.",
    fix: directive("buffering", proxy),
  });

function judgeReady(
  { openedAt }: EventStream,
  ready: Heard | undefined,
  proxy: ProxyName | undefined,
): Finding {
  const ms = ready && ready.at - openedAt;
  if (ms !== undefined && ms <= READY_MS)
    return well("ready", `the stream began after ${Math.round(ms)} ms`);
  return look("ready", {
    seen:
      ms === undefined
        ? "the stream began only with the first row"
        : `the stream began after ${toSeconds(ms)}`,
    why: "A page shows its bell as connecting until then.",
    fix: `${directive("buffering", proxy)} If the service itself is slow: bellwire doctor, for the database's side.`,
  });
}

function judgeLateness(ms: number, polledMs = 0, proxy?: ProxyName): Finding {
  if (ms < 1000 && ms - polledMs < 300)
    return well(
      "delivery",
      `a row came through ${Math.max(0, Math.round(ms))} ms after its commit`,
    );
  if (ms - polledMs < 300)
    return look("delivery", {
      seen: `a row came through ${toSeconds(ms)} after its commit, on the stream as by /poll`,
      why: "So the service itself learns of new rows late: NOTIFY does not reach it, and it waits for the next sweep (SWEEP_MS).",
      fix: "Examine the database's side, with the service's DATABASE_URL and DIRECT_DATABASE_URL: bellwire doctor",
    });
  return look("delivery", {
    seen: `a row came through ${Math.round(ms)} ms after its commit; /poll had it after ${Math.round(polledMs)} ms`,
    why: `${nameOf(proxy)} collects what the stream sends before it passes it on.`,
    fix: directive("buffering", proxy),
  });
}

/** HAProxy without `http-no-delay` keeps each chunk for 205 ms. A browser behind it gets none (see `wantsChunks`). */
function judgeChunks(delayMs: number, proxy: ProxyName | undefined): Finding[] {
  if (delayMs < 150 || delayMs === Number.POSITIVE_INFINITY) return [];
  return [
    look("chunks", {
      seen: `${nameOf(proxy)} delays each event by ${Math.round(delayMs)} ms for clients other than browsers`,
      why: "It waits for more before it sends a chunk. Browsers are spared, because the service sends them none; apps and servers are not.",
      fix: directive("chunks", proxy),
    }),
  ];
}

const muted = (recipientId: string): Finding =>
  look("delivery", {
    seen: `no row could be written for ${JSON.stringify(recipientId)}: bellwire.notify() dropped it`,
    why: "The recipient has muted the type bellwire.doctor, so it cannot be seen when a row arrives.",
    fix: "Use --recipient with another one.",
  });

export const toSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
