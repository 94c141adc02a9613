import { getHeapStatistics } from "node:v8";
import { Counter, Gauge, type Registry } from "prom-client";
import type { OldestTransaction } from "../db/oldest-transaction.ts";
import type { ProbeResult } from "../db/probe.ts";
import type { RuleErrors } from "../db/rule-errors.ts";

/** Functions that are called at each scrape. */
export interface Observed {
  streams: () => number;
  maxStreams: number;
  recipients: () => number;
  waitingPolls: () => number;
  bufferedBytes: () => number;
  bytesInFlight: () => number;
  isListening: () => boolean;
  isReading: () => boolean;
  isBusy: () => boolean;
  lastProbe: () => ProbeResult | undefined;
  notifyQueueUsage: () => number;
  isQueueHeld: () => boolean;
  readAgeSeconds: () => number;
  oldestTransaction: () => Promise<OldestTransaction | undefined>;
  ruleErrors: () => Promise<RuleErrors[]>;
  silentRules: () => number;
  droppedLogLines: () => number;
}

/** Registers the metrics that are read at each scrape. */
export function observe(observed: Observed, registers: Registry[]): void {
  function gauge(name: string, help: string, read: () => number) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  }
  gauge("bellwire_streams", "Open streams", observed.streams);
  gauge(
    "bellwire_max_streams",
    "How many streams and waiting polls may be open (MAX_STREAMS)",
    () => observed.maxStreams,
  );
  gauge("bellwire_recipients", "Recipients who have streams or waiting polls", observed.recipients);
  gauge("bellwire_waiting_polls", "Polls that wait for an event", observed.waitingPolls);
  gauge(
    "bellwire_buffered_bytes",
    "Bytes written to streams and not yet taken by the kernel",
    observed.bufferedBytes,
  );
  gauge(
    "bellwire_replay_bytes_in_flight",
    "Bytes that replays, polls and lists hold in memory until they are sent (limit: MAX_REPLAY_BYTES_IN_FLIGHT)",
    observed.bytesInFlight,
  );
  gauge(
    "bellwire_heap_limit_bytes",
    "The size of V8's heap at which the process ends (--max-old-space-size)",
    () => getHeapStatistics().heap_size_limit,
  );
  gauge("bellwire_listener_up", "1 while the LISTEN connection receives its probes", () =>
    Number(observed.isListening()),
  );
  gauge("bellwire_feed_up", "1 while the feed's reads succeed", () => Number(observed.isReading()));
  gauge(
    "bellwire_busy",
    "1 while wake-ups are suspended under load and the feed reads at least every tick",
    () => Number(observed.isBusy()),
  );
  gauge(
    "bellwire_read_age_seconds",
    "Seconds since the feed last read successfully",
    observed.readAgeSeconds,
  );
  gauge(
    "bellwire_probe_seconds",
    "Time from the last probe's NOTIFY until the LISTEN connection received it",
    () => (observed.lastProbe()?.ms ?? 0) / 1000,
  );
  gauge(
    "bellwire_notify_queue_usage",
    "How full PostgreSQL's NOTIFY queue is, from 0 to 1",
    observed.notifyQueueUsage,
  );
  gauge(
    "bellwire_wakeups_suspended",
    "1 while wake-ups are suspended permanently, or because the NOTIFY queue is half full",
    () => Number((observed.lastProbe()?.isSuspended ?? false) || observed.isQueueHeld()),
  );
  gauge(
    "bellwire_silent_rules",
    "Rules that do not fire where they should, as /readyz names them",
    observed.silentRules,
  );
  new Counter({
    name: "bellwire_log_lines_dropped_total",
    help: "Log lines that could not be written",
    registers,
    collect() {
      this.reset();
      this.inc(observed.droppedLogLines());
    },
  });
  new Gauge({
    name: "bellwire_oldest_transaction_seconds",
    help: "Seconds since the cluster's oldest open write transaction was first seen, and who holds it",
    labelNames: ["holder"],
    registers,
    async collect() {
      this.reset();
      const oldest = await withinLimit(observed.oldestTransaction(), undefined);
      // Each holder is a separate time series, so name it only after 5 s.
      if (oldest) this.set({ holder: oldest.seconds < 5 ? "" : oldest.holder }, oldest.seconds);
    },
  });
  new Gauge({
    name: "bellwire_rule_errors",
    help: "Failures of each rule, from bellwire.rule_errors",
    labelNames: ["rule"],
    registers,
    async collect() {
      this.reset();
      // If the database is unavailable, only these are missing. Operators need the other metrics during an outage.
      const found = await withinLimit(observed.ruleErrors(), []);
      for (const { rule, errors } of found) this.set({ rule }, errors);
    },
  });
}

/** A query to a database that hangs fails after 10 s. By then Prometheus would have given up on all metrics. */
const QUERY_LIMIT_MS = 1000;

async function withinLimit<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, QUERY_LIMIT_MS, otherwise);
  });
  return await Promise.race([answer.catch(() => otherwise), limit]).finally(() =>
    clearTimeout(timer),
  );
}
