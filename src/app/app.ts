import { inboxRoutes } from "../api/inbox.ts";
import { createHttpApp } from "../api/router.ts";
import type { Config } from "../config.ts";
import { createLimits } from "../connections/limits.ts";
import { createOpeningRate } from "../connections/opening-rate.ts";
import { createStreams } from "../connections/registry.ts";
import { createRollCall } from "../connections/roll-call.ts";
import { createBytesInFlight } from "../db/bytes-in-flight.ts";
import { createChangesReader } from "../db/changes-reader.ts";
import { createInbox } from "../db/inbox.ts";
import { createListener } from "../db/listener.ts";
import { watchNotifyQueue } from "../db/notify-queue.ts";
import { watchOldestTransaction } from "../db/oldest-transaction.ts";
import { asService, createPool } from "../db/pool.ts";
import { explainReadError } from "../db/read-errors.ts";
import { createReplays } from "../db/replays.ts";
import { createBatchedFindStanding, createFindStanding } from "../db/revocations.ts";
import { countRuleErrors } from "../db/rule-errors.ts";
import { warnOfMissingLimits } from "../db/session-limits.ts";
import { suspendWakeupsFor } from "../db/suspend-wakeups.ts";
import { createTickets } from "../db/tickets.ts";
import { createWrites } from "../db/writes.ts";
import { createDemo } from "../demo/marketplace.ts";
import { demoRoutes } from "../demo/routes.ts";
import { startEmbedded } from "../embedded/embedded.ts";
import { createFeed } from "../feed/feed.ts";
import { createAuthenticator } from "../http/auth/authenticate.ts";
import { identify } from "../http/auth/identify.ts";
import { verificationKey } from "../http/auth/keys.ts";
import { createMinter } from "../http/auth/sign.ts";
import { issueTicket, withTicket } from "../http/auth/tickets.ts";
import { createTokenVerifier } from "../http/auth/verify-token.ts";
import { asListener } from "../http/broken-request.ts";
import { createNotificationEncoder } from "../http/notification-json.ts";
import { startHttpServer } from "../http/server.ts";
import { createHub } from "../hub/hub.ts";
import type { Logger } from "../logger.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { refuseOldSchema } from "../migrate/check-schema.ts";
import { migrate } from "../migrate/migrate.ts";
import { createPolls } from "../transports/poll/poll.ts";
import { createFrames } from "../transports/sse/frames.ts";
import { streamRoute } from "../transports/sse/route.ts";
import { readVersion } from "../version.ts";

export interface App {
  /** Where the service answers: `http://host:port`. */
  readonly address: string;
  readonly metricsAddress: string;
  /** The embedded database, where that is what runs. */
  readonly embeddedUrl?: string;
  /** Ends the streams over `drainMs`, then everything else. */
  close(): Promise<void>;
}

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);

type OnClose = (close: () => unknown) => void;

/** Where the rows are. */
export interface Database {
  url: string;
  /** For LISTEN. */
  directUrl: string;
  /** The marketplace to play with, where there is one. */
  demo?: ReturnType<typeof createDemo>;
}

/**
 * Opens every part, lowest floor first, and closes them in reverse. Rejects where only a person can help (a port
 * is taken, the schema is old); what mends itself, like a database that is away, it waits for.
 */
export function startApp(config: Config, log: Logger): Promise<App> {
  return openAll(async (onClose) => {
    if (config.database.kind === "external")
      return openService(config.database, config, log, onClose);
    if (!LOOPBACK.has(config.host))
      log.warn({ host: config.host }, "whoever reaches the demo may act as any of its users");
    const embedded = await openEmbedded(config.database, log, onClose);
    const service = await openService(embedded, config, log, onClose);
    return { ...service, embeddedUrl: embedded.ownerUrl };
  });
}

/** The same on a database that somebody else has opened. */
export function startAppOn(database: Database, config: Config, log: Logger): Promise<App> {
  return openAll((onClose) => openService(database, config, log, onClose));
}

async function openAll<T>(open: (onClose: OnClose) => Promise<T>) {
  const closers: (() => unknown)[] = [];
  const close = async () => {
    for (const closePart of closers.splice(0)) await closePart();
  };
  try {
    const opened = await open((closePart) => closers.unshift(closePart));
    return { ...opened, close };
  } catch (err) {
    await close();
    throw err;
  }
}

/** Our own PostgreSQL, with the marketplace in it, of which the service sees what it would of any other. */
async function openEmbedded(
  { dir, port }: { dir: string; port: number },
  log: Logger,
  onClose: OnClose,
): Promise<Database & { ownerUrl: string }> {
  const embedded = await startEmbedded({ dir, port, log });
  onClose(embedded.close);
  await migrate({ url: embedded.url, folders: ["sql/example", "sql/rules"], log });
  const pool = createPool({ url: embedded.url, size: 2, log });
  onClose(pool.close);
  const url = asService(embedded.url);
  return { url, directUrl: url, ownerUrl: embedded.url, demo: createDemo(pool) };
}

async function openService(database: Database, config: Config, log: Logger, onClose: OnClose) {
  const version = readVersion();
  const key = await verificationKey(config);
  // Three pools, so that nobody waits behind another: requests; streams that open, which after a restart are all
  // of them at once; and the feed, with its suspensions and the listener's probe.
  const { url } = database;
  const forStreams = Math.floor(config.poolSize / 2);
  const pool = createPool({ url, size: config.poolSize - forStreams, log });
  const streamPool = createPool({ url, size: forStreams, log });
  const feedPool = createPool({ url, size: 3, log });
  // Together: where the database hangs, each takes a second.
  onClose(() => Promise.all([pool.close(), streamPool.close(), feedPool.close()]));
  await refuseOldSchema(pool, log);
  await warnOfMissingLimits(pool, log);
  const live = createChangesReader(feedPool, config.maxEventBytes);
  const inbox = createInbox(pool, config.maxEventBytes);
  onClose(inbox.close);
  const writes = createWrites(log);

  const replayRoom = createBytesInFlight(Math.floor(config.maxReplayBytesInFlight * 0.75));
  // Of their own, so that a list does not wait behind everybody who comes back.
  const answerRoom = createBytesInFlight(Math.floor(config.maxReplayBytesInFlight * 0.25));
  const hub = createHub();
  const encoder = createNotificationEncoder({ ...config, log });
  const frames = createFrames(version, encoder);
  const limits = createLimits(config);
  const streams = createStreams({ ...config, frames, limits });
  const rollCall = createRollCall({
    hasPlace: (recipientId) => limits.refusal(recipientId) !== "recipient_full",
    pingStreams: streams.pingAll,
    answerPolls: (isCalled) => polls.answer(isCalled),
  });
  const metrics = createMetrics({
    streams: streams.size,
    waitingPolls: () => polls.size(),
    bufferedBytes: streams.bufferedBytes,
    bytesInFlight: () => replayRoom.reserved() + answerRoom.reserved(),
    isListening: () => listener.problem() === undefined,
    isBusy: () => feed.isBusy(),
    isReading: () => feed.problem() === undefined,
    lastProbe: () => listener.lastProbe(),
    notifyQueueUsage: () => queue.usage(),
    isQueueHeld: () => queue.isHeld(),
    readAgeSeconds: () => feed.readAgeSeconds(),
    oldestTransaction: watchOldestTransaction(pool),
    ruleErrors: () => countRuleErrors(pool),
    droppedLogLines: log.droppedLines,
  });

  const feed = createFeed({
    adoptRestoredRows: live.adoptRestoredRows,
    now: live.now,
    read: live.readAll,
    publish: hub.publish,
    readAgain: hub.readAgain,
    suspendWakeups: (ms) => suspendWakeupsFor(feedPool, ms),
    onRead: metrics.read,
    explain: explainReadError,
    ...config,
    log,
  });
  onClose(feed.close);
  const queue = watchNotifyQueue({
    pool: feedPool,
    suspendWakeups: (ms) => suspendWakeupsFor(feedPool, ms),
    onHeldChange: feed.setHeld,
    log,
  });
  onClose(queue.close);
  await feed.start();
  const listener = createListener({
    url: database.directUrl,
    onWakeUp() {
      metrics.wokenUp();
      feed.wake();
    },
    onListening: feed.catchUp,
    pool: feedPool,
    log,
  });
  onClose(listener.close);

  const { cookie } = config.token;
  const { allowedOrigins } = config;
  const { leewayMs } = config;
  const verifyToken = createTokenVerifier({ ...config.token, leewayMs, key });
  const findStanding = createFindStanding(pool, leewayMs);
  const authenticate = createAuthenticator({ verifyToken, cookie, allowedOrigins });
  const tickets = createTickets(streamPool);
  const read = createReplays({
    room: replayRoom,
    pool: streamPool,
    // One connection is left for the door.
    maxConcurrent: Math.max(1, forStreams - 1),
    ...config,
    knownEpoch: () => feed.position()?.epoch,
    onRead: metrics.replayed,
  });
  const { position } = feed;
  const polls = createPolls({
    ...config,
    hub,
    read,
    encoder,
    answers: { room: replayRoom, stalledMs: config.stalledMs },
    limits,
    rollCall,
    findStanding,
  });
  const app = createHttpApp({
    version,
    allowedOrigins,
    trustedHops: config.trustedHops,
    health: () => ({
      problems: [
        streams.isDraining() ? "draining" : undefined,
        listener.problem(),
        feed.problem(),
      ].filter((problem) => problem !== undefined),
      warnings: [...listener.warnings(), ...queue.warnings(), ...writes.warnings()],
    }),
    identify: identify(authenticate, findStanding, position),
    stream: streamRoute({
      ...config,
      authenticate: withTicket(
        authenticate,
        writes.watch(tickets.redeem, (holder) => holder !== undefined),
      ),
      findStanding: createBatchedFindStanding(streamPool, leewayMs),
      limits,
      rate: createOpeningRate(config),
      rollCall,
      streams,
      frames,
      hub,
      position,
      read,
      room: replayRoom,
      metrics,
      log,
    }),
    poll: polls.route,
    issueTicket: issueTicket(writes.watch(tickets.issue)),
    inbox: inboxRoutes(
      {
        ...inbox,
        mark: writes.watch(inbox.mark, (notification) => notification !== undefined),
        markAll: writes.watch(inbox.markAll, (changed) => (changed ?? 0) > 0),
        muteTypes: writes.watch(inbox.muteTypes),
      },
      encoder,
      { room: answerRoom, stalledMs: config.stalledMs },
    ),
    demo:
      database.demo &&
      demoRoutes({ demo: database.demo, mintToken: createMinter({ ...config.token, key }) }),
    log,
  });

  const { host, port, metricsPort } = config;
  const metricsServer = await startHttpServer(metrics.handler, {
    host,
    port: metricsPort,
    portVariable: "METRICS_PORT",
    version,
  });
  onClose(metricsServer.close);
  const server = await startHttpServer(asListener(app, version), {
    host,
    port,
    portVariable: "PORT",
    version,
  });
  onClose(server.close);
  onClose(async () => {
    server.stopAccepting();
    polls.close();
    await streams.close();
  });
  log.info({ address: server.address, metrics: metricsServer.address, version }, "started");
  return { address: server.address, metricsAddress: metricsServer.address };
}
