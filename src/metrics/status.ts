import { z } from "zod";

const seconds = z.number().nonnegative();
const count = z.int().nonnegative();
const byReason = z.record(z.string(), count);
const pool = z.object({
  /** The most connections that it may have. */
  size: count,
  open: count,
  idle: count,
  /** Queries that wait for a connection. */
  waiting: count,
});

/**
 * `/status.json` of the metrics port: what `bellwire top` and `bellwire doctor` show. It names no recipient and holds no secret.
 * `totals` count from the start, so two answers and their `uptimeSeconds` give rates.
 */
export const Status = z.object({
  version: z.string(),
  startedAt: z.iso.datetime(),
  /** By a clock that nobody sets. */
  uptimeSeconds: seconds,
  process: z.object({ pid: count, nodeVersion: z.string(), rssBytes: count }),
  /** By the names of the environment variables, with the values in effect. Never a secret, and no URL. */
  settings: z.object({
    HOST: z.string(),
    PORT: count,
    METRICS_PORT: count,
    TRUST_PROXY: count,
    ALLOWED_ORIGINS: z.array(z.string()),
    /** The cookie's name; null if cookies are not accepted. */
    JWT_COOKIE: z.string().nullable(),
    HEARTBEAT_SECONDS: seconds,
    PING_SECONDS: seconds,
    MAX_STREAMS: count,
    MAX_STREAMS_PER_RECIPIENT: count,
    /** 0: no limit. */
    MAX_NEW_STREAMS_PER_SECOND: count,
    SWEEP_MS: count,
    /** 0: never suspended. */
    WAKEUPS_PER_SECOND_BUSY: count,
    LOG_LEVEL: z.string(),
  }),
  connected: z.object({
    streams: count,
    waitingPolls: count,
    /** How many different recipients these have. */
    recipients: count,
    bufferedBytes: count,
  }),
  totals: z.object({
    /** Events written to streams. */
    delivered: z.object({ notification: count, state: count }),
    wakeUps: count,
    /** Pages that the feed has read, by how: see `bellwire_feed_reads_total`. */
    reads: z.object({ session: count, function: count, no_session: count }),
    /** New and changed rows in these pages, of all recipients. */
    rowsRead: count,
    replayReads: count,
    streamsOpened: count,
    streamsClosed: byReason,
    streamsRefused: byReason,
    resets: byReason,
  }),
  lag: z.object({
    /** From `created_at` to the write to the socket, of the last minute's live notifications. null: there were none. */
    delivery: z.object({ count, p50Seconds: seconds, p99Seconds: seconds }).nullable(),
    /** Since the feed's last read that succeeded. */
    readAgeSeconds: seconds,
    /** From NOTIFY to its arrival. null: none has arrived yet. */
    probeSeconds: seconds.nullable(),
  }),
  /** As `/readyz` has them. */
  health: z.object({ problems: z.array(z.string()), warnings: z.array(z.string()) }),
  feed: z.object({
    /** Wake-ups are suspended, and it reads at least every tick. */
    isBusy: z.boolean(),
    hasSession: z.boolean(),
    /** Why it has no session of its own and reads with `bellwire.changes_since()` alone. */
    sessionProblem: z.string().nullable(),
  }),
  pools: z.object({ requests: pool, streams: pool, feed: pool }),
  /** Logged warnings and errors, oldest first, at most 20. */
  lastErrors: z.array(
    z.object({
      time: z.iso.datetime(),
      level: z.enum(["warn", "error", "fatal"]),
      message: z.string(),
      detail: z.string().optional(),
      error: z.string().optional(),
      code: z.string().optional(),
      requestId: z.string().optional(),
    }),
  ),
  /** How the last requests arrived, oldest first: 20, and 20 more with the header `Bellwire-Doctor`. See src/http/hop.ts. */
  requests: z.array(
    z.object({
      time: z.iso.datetime(),
      requestId: z.string(),
      doctor: z.string().nullable(),
      method: z.string(),
      path: z.string(),
      httpVersion: z.string(),
      host: z.string().nullable(),
      socketAddress: z.string().nullable(),
      forwardedFor: count,
      clientAddress: z.string().nullable(),
      forwardedProto: z.string().nullable(),
      hasAuthorization: z.boolean(),
      hasCookie: z.boolean(),
      hasLastEventId: z.boolean(),
      userAgent: z.string().nullable(),
    }),
  ),
});

export type Status = z.infer<typeof Status>;
