import type { Config } from "../config.ts";
import type { Logger } from "../logger.ts";
import type { Inspected } from "../metrics/read-status.ts";
import type { Doors } from "./doors.ts";
import type { Reading } from "./reading.ts";

export interface InspectOptions {
  config: Config;
  reading: Pick<Reading, "session" | "pools">;
  doors: Pick<Doors, "health">;
  version: string;
  log: Pick<Logger, "lastWarnings">;
}

/** What `/status.json` shows beside the metrics. */
export const inspect = ({ config, reading, doors, version, log }: InspectOptions): Inspected => ({
  version,
  settings: settingsOf(config),
  hasFeedSession: reading.session.isOpen,
  feedSessionProblem: reading.session.problem,
  health: doors.health,
  pools: reading.pools.usage,
  lastWarnings: log.lastWarnings,
});

/** Only these: whoever adds one makes sure that it holds no secret. */
const settingsOf = (config: Config): Inspected["settings"] => ({
  HOST: config.host,
  PORT: config.port,
  METRICS_PORT: config.metricsPort,
  TRUST_PROXY: config.trustedHops,
  ALLOWED_ORIGINS: [...config.allowedOrigins],
  JWT_COOKIE: config.token.cookie ?? null,
  HEARTBEAT_SECONDS: config.heartbeatMs / 1000,
  PING_SECONDS: config.pingMs / 1000,
  MAX_STREAMS: config.maxStreams,
  MAX_STREAMS_PER_RECIPIENT: config.maxStreamsPerRecipient,
  MAX_NEW_STREAMS_PER_SECOND: Number.isFinite(config.maxNewStreamsPerSecond)
    ? config.maxNewStreamsPerSecond
    : 0,
  SWEEP_MS: config.sweepMs,
  WAKEUPS_PER_SECOND_BUSY: config.wakeupsPerSecondBusy,
  LOG_LEVEL: config.logLevel,
});
