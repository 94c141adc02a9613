import type { Health } from "../api/health.ts";
import { inboxRoutes } from "../api/inbox.ts";
import { createHttpApp } from "../api/router.ts";
import { scriptRoutes } from "../api/script.ts";
import type { Config } from "../config.ts";
import { createAdmission } from "../connections/admission.ts";
import { createFollowers } from "../connections/followers.ts";
import { createLimits } from "../connections/limits.ts";
import { createOpeningRate } from "../connections/opening-rate.ts";
import { createRegistry, type Registry } from "../connections/registry.ts";
import { createRollCall } from "../connections/roll-call.ts";
import { type BytesInFlight, createBytesInFlight } from "../db/bytes-in-flight.ts";
import { createInbox, type Inbox } from "../db/inbox.ts";
import { createReplays } from "../db/replays.ts";
import type { Writes } from "../db/writes.ts";
import type { Demo } from "../demo/marketplace.ts";
import { demoRoutes } from "../demo/routes.ts";
import { createNotificationEncoder, type NotificationEncoder } from "../http/notification-json.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { createPolls } from "../transports/poll/poll.ts";
import { streamRoute } from "../transports/sse/route.ts";
import type { Access } from "./access.ts";
import type { OnClose } from "./open-all.ts";
import type { Reading } from "./reading.ts";

export interface DoorsOptions {
  config: Config;
  reading: Reading;
  access: Access;
  writes: Writes;
  demo: Demo | undefined;
  version: string;
  metrics: Metrics;
  onClose: OnClose;
  log: Logger;
}

export type Doors = ReturnType<typeof createDoors>;

/** Every way in, as one HTTP application: the transports, the REST API and the demo. */
export function createDoors(options: DoorsOptions) {
  const { config, reading, access, writes, demo, version, metrics, onClose, log } = options;
  const { maxReplayBytesInFlight, maxEventBytes, stalledMs } = config;
  const encoder = createNotificationEncoder({ maxEventBytes, log });
  const replayBytes = createBytesInFlight(Math.floor(maxReplayBytesInFlight * 0.75));
  // Lists have their own limit, so that they do not wait behind all the clients that reconnect.
  const answerBytes = createBytesInFlight(Math.floor(maxReplayBytesInFlight * 0.25));
  const { registry, transports, polls } = createTransports(options, encoder, replayBytes);
  const inbox = createInbox(reading.pools.requests, maxEventBytes, reading.knownCounts);
  onClose(inbox.close);
  const health = () => findHealth(reading, registry, writes);
  const app = createHttpApp({
    version,
    allowedOrigins: config.allowedOrigins,
    trustedHops: config.trustedHops,
    health,
    onRequest: metrics.onRequest,
    identify: access.identify,
    transports,
    poll: polls.route,
    issueTicket: access.issueTicket,
    inbox: inboxRoutes(watchWrites(inbox, writes), encoder, {
      bytesInFlight: answerBytes,
      stalledMs,
    }),
    demo: demo && demoRoutes({ demo, mintToken: access.mintToken }),
    script: scriptRoutes(),
    log,
  });
  return {
    app,
    health,
    registry,
    polls,
    bytesInFlight: () => replayBytes.reserved() + answerBytes.reserved(),
  };
}

function createTransports(
  options: DoorsOptions,
  encoder: NotificationEncoder,
  bytesInFlight: BytesInFlight,
) {
  const { config, reading, access, version, log } = options;
  const { replayLimit, maxBufferedBytes, stalledMs } = config;
  const { limits, rollCall, registry, admission, followers, read } = createConnections(
    options,
    bytesInFlight,
  );
  const shared = { admission, registry, followers, version, encoder, maxBufferedBytes, log };
  const transports = {
    "/stream": streamRoute(shared),
  };
  const polls = createPolls({
    hub: reading.hub,
    read,
    replayLimit,
    encoder,
    answers: { bytesInFlight, stalledMs },
    limits,
    rollCall,
    findStanding: access.findStanding,
  });
  return { registry, transports, polls };
}

/** The parts that all transports share. */
function createConnections(options: DoorsOptions, bytesInFlight: BytesInFlight) {
  const { config, reading, access, metrics, log } = options;
  const { maxStreams, maxStreamsPerRecipient, maxNewStreamsPerSecond, replayLimit } = config;
  const { hub, knownCounts, feed, pools } = reading;
  const { authenticate, findStanding } = access.connections;
  const limits = createLimits({ maxStreams, maxStreamsPerRecipient });
  const rollCall = createRollCall(limits);
  const registry = createRegistry({
    rollCall,
    heartbeatMs: config.heartbeatMs,
    pingMs: config.pingMs,
    stalledMs: config.stalledMs,
    maxAgeMs: config.maxStreamMs,
    drainMs: config.drainMs,
    hasDirectClients: config.trustedHops === 0,
    onClosed: metrics.onClosed,
  });
  const admission = createAdmission({
    authenticate,
    findStanding,
    limits,
    rate: createOpeningRate({ maxNewStreamsPerSecond, maxStreamsPerRecipient }),
    rollCall,
    isDraining: registry.isDraining,
    position: feed.position,
    onRefused: metrics.onRefused,
    log,
  });
  const read = createReplays({
    bytesInFlight,
    pool: pools.streams,
    // One connection of the pool is left for admissions.
    maxConcurrent: Math.max(1, pools.streamsSize - 1),
    replayLimit,
    maxEventBytes: config.maxEventBytes,
    knownEpoch: () => feed.position()?.epoch,
    knownCounts,
    onRead: metrics.onReplayRead,
  });
  const followers = createFollowers({
    registry,
    hub,
    read,
    bytesInFlight,
    replayLimit,
    findStanding,
    onEvent: metrics.onEvent,
    onReset: metrics.onReset,
    log,
  });
  return { limits, rollCall, registry, admission, followers, read };
}

function findHealth(
  { listener, feed, queue, ruleFaults }: Reading,
  registry: Registry,
  writes: Writes,
): Health {
  const problems = [
    registry.isDraining() ? "draining" : undefined,
    listener.problem(),
    feed.problem(),
  ];
  return {
    problems: problems.filter((problem) => problem !== undefined),
    warnings: [
      ...listener.warnings(),
      ...queue.warnings(),
      ...writes.warnings(),
      ...ruleFaults.warnings(),
    ],
  };
}

/** Wraps the inbox: if the database refuses a write, `/readyz` warns. */
const watchWrites = (inbox: Inbox, { watch }: Writes): Inbox => ({
  ...inbox,
  mark: watch(inbox.mark, (notification) => notification !== undefined),
  markAll: watch(inbox.markAll, (changed) => (changed ?? 0) > 0),
  muteTypes: watch(inbox.muteTypes),
});
