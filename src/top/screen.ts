import type { Status } from "../metrics/status.ts";
import { count, duration, mebibytes, perSecond, time } from "./format.ts";
import { type Rates, ratesBetween } from "./rates.ts";

/** What `top` shows, line by line: the status `now`, with the rates since `before`. */
export function drawScreen(before: Status, now: Status): string[] {
  const rates = ratesBetween(before, now);
  return [
    headline(now),
    "",
    ...healthRows(now),
    row("connected", connected(now)),
    row("events", events(rates)),
    row("streams", streams(rates)),
    row("reads", reads(rates)),
    row("lag", lag(now)),
    row("feed", feed(now)),
    row("database", database(now)),
    "",
    ...errorRows(now),
  ].map(printable);
}

/** Texts of the log may have line ends, and what a terminal would obey. */
const printable = (line: string) => line.replace(/\s/g, " ").replace(/\p{C}/gu, "?");

const row = (name: string, text: string) => `${name.padEnd(10)} ${text}`;

const headline = ({ version, process: { pid, nodeVersion, rssBytes }, uptimeSeconds }: Status) =>
  `bellwire ${version}, up ${duration(uptimeSeconds)}, pid ${pid}, Node ${nodeVersion}, ${mebibytes(rssBytes)}`;

function healthRows({ health: { problems, warnings } }: Status): string[] {
  if (problems.length + warnings.length === 0) return [row("health", "well")];
  return [
    ...problems.map((text) => row("BROKEN", text)),
    ...warnings.map((text) => row("look", text)),
  ];
}

function connected({ connected, settings }: Status): string {
  const { streams, waitingPolls, recipients, bufferedBytes } = connected;
  return `recipients ${count(recipients)}, streams ${count(streams)} of ${count(settings.MAX_STREAMS)}, waiting polls ${count(waitingPolls)}, unsent ${mebibytes(bufferedBytes)}`;
}

function events({ of }: Rates): string {
  const notifications = of(({ delivered }) => delivered.notification);
  const states = of(({ delivered }) => delivered.state);
  return `${perSecond(notifications)} notifications, ${perSecond(states)} states`;
}

function streams({ of, byReason }: Rates): string {
  const opened = perSecond(of(({ streamsOpened }) => streamsOpened));
  const [closed, refused, reset] = (["streamsClosed", "streamsRefused", "resets"] as const).map(
    (name) => reasons(byReason(name)),
  );
  return `${opened} opened, ${closed} closed, ${refused} refused, ${reset} reset`;
}

/** 2.0/s (client 1.5, slow 0.5) */
function reasons(rates: ReadonlyMap<string, number>): string {
  const named = [...rates].filter(([reason]) => reason);
  const list = named.map(([reason, rate]) => `${reason} ${rate.toFixed(1)}`).join(", ");
  return `${perSecond(rates.get("") ?? 0)}${list && ` (${list})`}`;
}

function reads({ of }: Rates): string {
  const pages = of(({ reads }) => reads.session + reads.function + reads.no_session);
  const rows = of(({ rowsRead }) => rowsRead);
  const replays = of(({ replayReads }) => replayReads);
  const wakeUps = of((totals) => totals.wakeUps);
  return `${perSecond(pages)} pages, ${perSecond(rows)} rows, ${perSecond(wakeUps)} wake-ups, ${perSecond(replays)} replays`;
}

function lag({ lag: { delivery, readAgeSeconds, probeSeconds } }: Status): string {
  const delivered = delivery
    ? `delivery p50 ${time(delivery.p50Seconds)}, p99 ${time(delivery.p99Seconds)} of ${count(delivery.count)} in a minute`
    : "no delivery in a minute";
  const notified = probeSeconds === null ? "none heard" : time(probeSeconds);
  return `${delivered}; last read ${time(readAgeSeconds)} ago; NOTIFY ${notified}`;
}

function feed({ feed: { isBusy, hasSession, sessionProblem } }: Status): string {
  const mode = isBusy ? "busy: wake-ups suspended, reads on a tick" : "idle: reads at wake-ups";
  if (hasSession) return `${mode}; own session`;
  return `${mode}; no session${sessionProblem ? `: ${sessionProblem}` : " yet"}`;
}

/** Connections in use of those that there may be. */
function database({ pools }: Status): string {
  return Object.entries(pools)
    .map(([name, { size, open, idle, waiting }]) => {
      const inUse = `${name} ${open - idle} of ${size} in use`;
      return waiting > 0 ? `${inUse}, ${count(waiting)} waiting` : inUse;
    })
    .join("; ");
}

/** Newest first, because a small terminal cuts the end. */
function errorRows({ lastErrors }: Status): string[] {
  if (lastErrors.length === 0) return ["No warnings or errors were logged."];
  const lines = lastErrors.toReversed().map(({ time, level, message, detail, error, code }) => {
    const why = [detail, error, code].filter(Boolean).join("; ");
    return `${time.slice(0, 19)}Z ${level.padEnd(5)} ${message}${why && `: ${why}`}`;
  });
  return ["Last warnings and errors", ...lines];
}
