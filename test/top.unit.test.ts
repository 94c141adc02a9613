import { describe, expect, test } from "vitest";
import type { Status } from "../src/metrics/status.ts";
import { duration, perSecond, time } from "../src/top/format.ts";
import { ratesBetween } from "../src/top/rates.ts";
import { drawScreen } from "../src/top/screen.ts";

const TOTALS: Status["totals"] = {
  delivered: { notification: 100, state: 10 },
  wakeUps: 50,
  reads: { session: 40, function: 5, no_session: 1 },
  rowsRead: 120,
  replayReads: 3,
  streamsOpened: 12,
  streamsClosed: { client: 4 },
  streamsRefused: {},
  resets: {},
};
const POOL = { size: 5, open: 3, idle: 1, waiting: 0 };
const BEFORE: Status = {
  version: "1.0.0",
  startedAt: "2026-11-30T08:00:00.000Z",
  uptimeSeconds: 100,
  process: { pid: 7, nodeVersion: "20.19.0", rssBytes: 2 ** 27 },
  settings: {
    HOST: "127.0.0.1",
    PORT: 3000,
    METRICS_PORT: 9464,
    TRUST_PROXY: 0,
    ALLOWED_ORIGINS: [],
    JWT_COOKIE: null,
    HEARTBEAT_SECONDS: 15,
    PING_SECONDS: 30,
    MAX_STREAMS: 20_000,
    MAX_STREAMS_PER_RECIPIENT: 10,
    MAX_NEW_STREAMS_PER_SECOND: 100,
    SWEEP_MS: 2000,
    WAKEUPS_PER_SECOND_BUSY: 200,
    LOG_LEVEL: "info",
  },
  connected: { streams: 1234, waitingPolls: 2, recipients: 987, bufferedBytes: 0 },
  totals: TOTALS,
  lag: { delivery: null, readAgeSeconds: 0.4, probeSeconds: null },
  health: { problems: [], warnings: [] },
  feed: { isBusy: false, hasSession: true, sessionProblem: null },
  pools: { requests: POOL, streams: POOL, feed: { size: 3, open: 3, idle: 0, waiting: 4 } },
  lastErrors: [],
  requests: [],
};
const NOW: Status = {
  ...BEFORE,
  uptimeSeconds: 102,
  totals: {
    ...TOTALS,
    delivered: { notification: 120, state: 10 },
    streamsClosed: { client: 4, slow: 1 },
  },
};
const rowOf = (now: Status, name: string) =>
  drawScreen(BEFORE, now)
    .find((line) => line.startsWith(name))
    ?.slice(name.length)
    .trim();

describe("rates", () => {
  test("are what came in the time between two answers", () => {
    const rates = ratesBetween(BEFORE, NOW);
    expect(rates.of(({ delivered }) => delivered.notification)).toBe(10);
    expect([...rates.byReason("streamsClosed")]).toEqual([
      ["", 0.5],
      ["slow", 0.5],
    ]);
  });

  test("are not there after a restart, nor between two answers of one moment", () => {
    const restarted = { ...NOW, startedAt: "2026-11-30T09:00:00.000Z" };
    for (const now of [restarted, { ...NOW, uptimeSeconds: 100 }]) {
      const rates = ratesBetween(BEFORE, now);
      expect(rates.of(({ delivered }) => delivered.notification)).toBe(0);
      expect([...rates.byReason("streamsClosed")]).toEqual([["", 0]]);
    }
  });
});

describe("the screen", () => {
  test("has a row for each thing to see", () => {
    expect(drawScreen(BEFORE, NOW)).toEqual([
      "bellwire 1.0.0, up 1 min 42 s, pid 7, Node 20.19.0, 128.0 MiB",
      "",
      "health     well",
      "connected  recipients 987, streams 1,234 of 20,000, waiting polls 2, unsent 0.0 MiB",
      "events     10.0/s notifications, 0.0/s states",
      "streams    0.0/s opened, 0.5/s (slow 0.5) closed, 0.0/s refused, 0.0/s reset",
      "reads      0.0/s pages, 0.0/s rows, 0.0/s wake-ups, 0.0/s replays",
      "lag        no delivery in a minute; last read 400.0 ms ago; NOTIFY none heard",
      "feed       idle: reads at wake-ups; own session",
      "database   requests 2 of 5 in use; streams 2 of 5 in use; feed 3 of 3 in use, 4 waiting",
      "",
      "No warnings or errors were logged.",
    ]);
  });

  test("names why the feed has no session", () => {
    const feed = { isBusy: true, hasSession: false, sessionProblem: "a pooler" };
    expect(rowOf({ ...NOW, feed }, "feed")).toBe(
      "busy: wake-ups suspended, reads on a tick; no session: a pooler",
    );
  });

  test("has the newest error first, and nothing that a terminal would obey", () => {
    const lastErrors: Status["lastErrors"] = [
      { time: "2026-11-30T08:00:01.000Z", level: "warn", message: "old" },
      { time: "2026-11-30T08:00:02.000Z", level: "error", message: "new", error: "a\x1b[2Jb\nc" },
    ];
    expect(drawScreen(BEFORE, { ...NOW, lastErrors }).slice(-3)).toEqual([
      "Last warnings and errors",
      "2026-11-30T08:00:02Z error new: a?[2Jb c",
      "2026-11-30T08:00:01Z warn  old",
    ]);
  });
});

test("numbers are as long as they are useful", () => {
  expect([0.04, 99.94, 1204.6].map(perSecond)).toEqual(["0.0/s", "99.9/s", "1,205/s"]);
  expect([0.0034, 1.25].map(time)).toEqual(["3.4 ms", "1.3 s"]);
  expect([5, 65, 3725, 93_784].map(duration)).toEqual(["5 s", "1 min 5 s", "1 h 2 min", "1 d 2 h"]);
});
