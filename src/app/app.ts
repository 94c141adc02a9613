import type { Config } from "../config.ts";
import { watchOldestTransaction } from "../db/oldest-transaction.ts";
import { asService, createPool } from "../db/pool.ts";
import { countRuleErrors } from "../db/rule-errors.ts";
import { createWrites } from "../db/writes.ts";
import { createDemo, type Demo } from "../demo/marketplace.ts";
import { type Embedded, startEmbedded } from "../embedded/embedded.ts";
import type { Logger } from "../logger.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { migrate } from "../migrate/migrate.ts";
import { readVersion } from "../version.ts";
import { openAccess } from "./access.ts";
import { createDoors } from "./doors.ts";
import { inspect } from "./inspect.ts";
import { type OnClose, openAll } from "./open-all.ts";
import { openReading } from "./reading.ts";
import { openServers } from "./servers.ts";

export interface App {
  /** The base URL of the API: `http://host:port`. */
  readonly address: string;
  readonly metricsAddress: string;
  /** The URL of the embedded database, if that is used. */
  readonly embeddedUrl?: string;
  /** Closes the streams over `drainMs`, then everything else. */
  close(): Promise<void>;
}

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);

/** The database with the notifications. */
export interface Database {
  url: string;
  /** A direct connection, for LISTEN. */
  directUrl: string;
  /** The demo marketplace, if the database is the embedded one. */
  demo?: Demo;
}

/** What starts the embedded PostgreSQL, or finds one that another process holds. */
type StartServer = (
  options: Parameters<typeof startEmbedded>[0],
) => Promise<Pick<Embedded, "url" | "close">>;

/**
 * Opens every part, lowest floor first, and closes them in reverse. Rejects if only a person can solve the problem (a port is taken,
 * the schema is old). Does not reject if the problem can pass (the database is unavailable).
 */
export function startApp(
  config: Config,
  log: Logger,
  startServer: StartServer = startEmbedded,
): Promise<App> {
  return openAll(async (onClose) => {
    if (config.database.kind === "external")
      return openService(config.database, config, log, onClose);
    if (!LOOPBACK.has(config.host))
      log.warn({ host: config.host }, "anyone who can reach the demo may act as any of its users");
    const embedded = await openEmbedded(config.database, startServer, log, onClose);
    const service = await openService(embedded, config, log, onClose);
    return { ...service, embeddedUrl: embedded.ownerUrl };
  });
}

/** The same on a database that the caller has opened. */
export function startAppOn(database: Database, config: Config, log: Logger): Promise<App> {
  return openAll((onClose) => openService(database, config, log, onClose));
}

/** Our own PostgreSQL, with the marketplace in it. The service uses it with the same rights that it has on any other database. */
async function openEmbedded(
  { dir, port }: { dir: string; port: number },
  startServer: StartServer,
  log: Logger,
  onClose: OnClose,
): Promise<Database & { ownerUrl: string }> {
  const embedded = await startServer({ dir, port, log });
  onClose(embedded.close);
  await migrate({ url: embedded.url, folders: ["sql/example", "sql/rules"], log });
  const pool = createPool({ url: embedded.url, size: 2, log });
  onClose(pool.close);
  const url = asService(embedded.url);
  return { url, directUrl: url, ownerUrl: embedded.url, demo: createDemo(pool) };
}

async function openService(database: Database, config: Config, log: Logger, onClose: OnClose) {
  const version = readVersion();
  const metrics = createMetrics();
  onClose(metrics.close);
  const writes = createWrites(log);
  const reading = await openReading({ database, config, metrics, onClose, log });
  const access = await openAccess({ config, reading, writes });
  const { demo } = database;
  const doors = createDoors({
    config,
    reading,
    access,
    writes,
    demo,
    version,
    metrics,
    onClose,
    log,
  });
  const { pools, feed, listener, queue } = reading;
  metrics.observe({
    streams: doors.registry.size,
    maxStreams: config.maxStreams,
    recipients: reading.hub.size,
    waitingPolls: doors.polls.size,
    bufferedBytes: doors.registry.bufferedBytes,
    bytesInFlight: doors.bytesInFlight,
    isListening: () => listener.problem() === undefined,
    isReading: () => feed.problem() === undefined,
    isBusy: feed.isBusy,
    lastProbe: listener.lastProbe,
    notifyQueueUsage: queue.usage,
    isQueueHeld: queue.isHeld,
    readAgeSeconds: feed.readAgeSeconds,
    oldestTransaction: watchOldestTransaction(pools.requests),
    ruleErrors: () => countRuleErrors(pools.requests),
    silentRules: () => reading.ruleFaults.warnings().length,
    droppedLogLines: log.droppedLines,
    ...inspect({ config, reading, doors, version, log }),
  });
  const addresses = await openServers({ config, doors, metrics, version, onClose });
  log.info({ address: addresses.address, metrics: addresses.metricsAddress, version }, "started");
  return addresses;
}
