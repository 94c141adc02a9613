import type { Registry } from "prom-client";
import type { Health } from "../api/health.ts";
import type { Observed } from "./gauges.ts";
import type { Quantiles } from "./last-minute.ts";
import type { LastRequests } from "./last-requests.ts";
import type { Status } from "./status.ts";

/** What only `/status.json` shows, and the functions that it calls. */
export interface Inspected extends Pick<Status, "version" | "settings"> {
  hasFeedSession: () => boolean;
  feedSessionProblem: () => string | undefined;
  health: () => Health;
  pools: () => Status["pools"];
  lastWarnings: () => Status["lastErrors"];
}

export interface StatusSources {
  registry: Registry;
  parts: Observed & Inspected;
  readDeliveryTimes: () => Promise<Quantiles | undefined>;
  requests: Pick<LastRequests, "read">;
}

export type ReadStatus = () => Promise<Status>;

/** Returns what reads the status. Nothing is counted for it: it reads the metrics and asks the parts. */
export function createStatusReader(sources: StatusSources): ReadStatus {
  const { registry, parts, readDeliveryTimes, requests } = sources;
  const startedAt = new Date();
  const startedMs = performance.now();

  /** The samples of a counter, by the value of its label; without one, under "". */
  async function samplesOf(name: string): Promise<Record<string, number>> {
    const { values } = (await registry.getSingleMetric(name)?.get()) ?? { values: [] };
    return Object.fromEntries(
      values.map(({ labels, value }) => [String(Object.values(labels)[0] ?? ""), value]),
    );
  }
  const totalOf = async (name: string) => (await samplesOf(name))[""] ?? 0;

  async function readTotals(streams: number): Promise<Status["totals"]> {
    const delivered = await samplesOf("bellwire_delivered_total");
    const reads = await samplesOf("bellwire_feed_reads_total");
    const streamsClosed = await samplesOf("bellwire_stream_closes_total");
    return {
      delivered: { notification: 0, state: 0, ...delivered },
      wakeUps: await totalOf("bellwire_wakeups_total"),
      reads: { session: 0, function: 0, no_session: 0, ...reads },
      rowsRead: await totalOf("bellwire_rows_read_total"),
      replayReads: await totalOf("bellwire_replay_reads_total"),
      streamsOpened: Object.values(streamsClosed).reduce((sum, closed) => sum + closed, streams),
      streamsClosed,
      streamsRefused: await samplesOf("bellwire_stream_refusals_total"),
      resets: await samplesOf("bellwire_stream_resets_total"),
    };
  }

  return async () => {
    const streams = parts.streams();
    const probe = parts.lastProbe();
    return {
      version: parts.version,
      startedAt: startedAt.toISOString(),
      uptimeSeconds: (performance.now() - startedMs) / 1000,
      process: {
        pid: process.pid,
        nodeVersion: process.versions.node,
        rssBytes: process.memoryUsage.rss(),
      },
      settings: parts.settings,
      connected: {
        streams,
        waitingPolls: parts.waitingPolls(),
        recipients: parts.recipients(),
        bufferedBytes: parts.bufferedBytes(),
      },
      totals: await readTotals(streams),
      lag: {
        delivery: (await readDeliveryTimes()) ?? null,
        readAgeSeconds: parts.readAgeSeconds(),
        probeSeconds: probe ? probe.ms / 1000 : null,
      },
      health: copyOf(parts.health()),
      feed: {
        isBusy: parts.isBusy(),
        hasSession: parts.hasFeedSession(),
        sessionProblem: parts.feedSessionProblem() ?? null,
      },
      pools: parts.pools(),
      lastErrors: parts.lastWarnings(),
      requests: requests.read(),
    };
  };
}

const copyOf = ({ problems, warnings }: Health) => ({
  problems: [...problems],
  warnings: [...warnings],
});
