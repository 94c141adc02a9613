import type { Config } from "../config.ts";
import { createChangesReader } from "../db/changes-reader.ts";
import { createFeedSession } from "../db/feed-session.ts";
import { createKnownCounts } from "../db/known-counts.ts";
import { createListener } from "../db/listener.ts";
import { watchNotifyQueue } from "../db/notify-queue.ts";
import { createPool } from "../db/pool.ts";
import { explainReadError } from "../db/read-errors.ts";
import { watchRuleFaults } from "../db/rule-faults.ts";
import { warnOfMissingLimits } from "../db/session-limits.ts";
import { suspendWakeupsFor } from "../db/suspend-wakeups.ts";
import { createFeed } from "../feed/feed.ts";
import { createHub } from "../hub/hub.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { refuseLogin, refuseOldSchema } from "../migrate/check-schema.ts";
import type { OnClose } from "./open-all.ts";

export interface ReadingOptions {
  database: { url: string; directUrl: string };
  config: Pick<
    Config,
    "poolSize" | "maxEventBytes" | "sweepMs" | "tickMs" | "wakeupsPerSecondBusy"
  >;
  metrics: Pick<Metrics, "onRead" | "onFeedRead" | "onWakeUp">;
  onClose: OnClose;
  log: Logger;
}

export type Reading = Awaited<ReturnType<typeof openReading>>;

/**
 * From the database to the hub: the listener wakes the feed, and the feed reads and publishes. Resolves after the first read, also if
 * that failed. Rejects if the database refuses the login, or its schema is too old.
 */
export async function openReading({ database, config, metrics, onClose, log }: ReadingOptions) {
  const pools = openPools(database.url, config.poolSize, log);
  onClose(pools.close);
  await refuseLogin([database.url, database.directUrl], log);
  await refuseOldSchema(pools.requests, log);
  await warnOfMissingLimits(pools.requests, log);

  const hub = createHub();
  const knownCounts = createKnownCounts();
  const { adoptRestoredRows, now, readAll } = createChangesReader(pools.feed, config.maxEventBytes);
  const session = createFeedSession({
    url: database.directUrl,
    maxEventBytes: config.maxEventBytes,
    log,
  });
  onClose(session.close);
  const suspendWakeups = (ms: number) => suspendWakeupsFor(pools.feed, ms);
  const feed = createFeed({
    adoptRestoredRows,
    now,
    async read(from) {
      const newRows = await session.readNewRows(from);
      const by = newRows ? "session" : session.isOpen() ? "function" : "no_session";
      const page = newRows ?? (await readAll(from));
      metrics.onFeedRead(by);
      return page;
    },
    publish: hub.publish,
    readAgain: hub.readAgain,
    suspendWakeups,
    onRead: metrics.onRead,
    explain: explainReadError,
    sweepMs: config.sweepMs,
    tickMs: config.tickMs,
    wakeupsPerSecondBusy: config.wakeupsPerSecondBusy,
    log,
  });
  onClose(feed.close);
  const queue = watchNotifyQueue({
    pool: pools.feed,
    suspendWakeups,
    onHeldChange: feed.setHeld,
    log,
  });
  onClose(queue.close);
  const ruleFaults = watchRuleFaults({ pool: pools.feed, log });
  onClose(ruleFaults.close);
  await feed.start();
  const listener = createListener({
    url: database.directUrl,
    onWakeUp() {
      metrics.onWakeUp();
      feed.wake();
    },
    onListening() {
      knownCounts.forget();
      session.renew();
      feed.catchUp();
    },
    pool: pools.feed,
    log,
  });
  onClose(listener.close);
  return { pools, hub, knownCounts, session, feed, queue, ruleFaults, listener };
}

/**
 * Three pools, so that none waits for another: one for requests, one for connections that open (after a restart all do so at once),
 * and one for the feed, its suspensions and the listener's probes.
 */
function openPools(url: string, poolSize: number, log: Logger) {
  const streamsSize = Math.floor(poolSize / 2);
  const requests = createPool({ url, size: poolSize - streamsSize, log });
  const streams = createPool({ url, size: streamsSize, log });
  const feed = createPool({ url, size: 3, log });
  return {
    requests,
    streams,
    streamsSize,
    feed,
    usage: () => ({ requests: requests.usage(), streams: streams.usage(), feed: feed.usage() }),
    // All at the same time, because each takes a second if the database hangs.
    close: () => Promise.all([requests.close(), streams.close(), feed.close()]),
  };
}
