import type { RequestListener } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Page } from "../changes/changes.ts";
import type { OldestTransaction } from "../db/oldest-transaction.ts";
import type { ProbeResult } from "../db/probe.ts";
import type { RuleErrors } from "../db/rule-errors.ts";
import type { RecipientEvent } from "../hub/events.ts";
import type { ResetReason } from "../hub/follow.ts";
import type { CloseReason, RefusalReason } from "../transports/sse/event-stream.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/** What is asked for when somebody looks. */
export interface Observed {
  streams: () => number;
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
  droppedLogLines: () => number;
}

/** Prometheus metrics. No label holds a recipient. */
export function createMetrics(observed: Observed) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const delivered = new Counter({
    name: "bellwire_delivered_total",
    help: "Events written to streams",
    labelNames: ["event"],
    registers,
  });
  // Looked up once: this is done for every event of every stream.
  const deliveredOf = {
    notification: delivered.labels("notification"),
    state: delivered.labels("state"),
  };
  const deliverySeconds = new Histogram({
    name: "bellwire_delivery_seconds",
    help: "From a notification's created_at to its write to a live stream's socket",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  function observeDelivery(createdAt: string) {
    const seconds = (Date.now() - Date.parse(createdAt)) / 1000;
    // `infinity`, and years that JavaScript has not.
    if (Number.isFinite(seconds)) deliverySeconds.observe(seconds);
  }
  const wakeUps = new Counter({
    name: "bellwire_wakeups_total",
    help: "NOTIFY wake-ups heard",
    registers,
  });
  const reads = new Counter({
    name: "bellwire_reads_total",
    help: "Reads of the feed",
    registers,
  });
  const rowsRead = new Counter({
    name: "bellwire_rows_read_total",
    help: "Rows the feed has read, for whomever",
    registers,
  });
  const replayReads = new Counter({
    name: "bellwire_replay_reads_total",
    help: "Queries for what streams and polls have missed",
    registers,
  });
  const replayPages = new Counter({
    name: "bellwire_replay_pages_total",
    help: "Pages that these queries have given, one for each stream or poll that shared one",
    registers,
  });
  const closes = new Counter({
    name: "bellwire_stream_closes_total",
    help: "Streams that ended",
    labelNames: ["reason"],
    registers,
  });
  const refusals = new Counter({
    name: "bellwire_stream_refusals_total",
    help: "Streams that were not opened, though their token was good or not looked at",
    labelNames: ["reason"],
    registers,
  });
  const resets = new Counter({
    name: "bellwire_stream_resets_total",
    help: "Clients told to fetch their list again",
    labelNames: ["reason"],
    registers,
  });
  /** A number that is asked for when somebody looks. */
  function observe(name: string, help: string, read: () => number) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  }
  observe("bellwire_streams", "Open streams", observed.streams);
  observe("bellwire_waiting_polls", "Polls that wait for something to tell", observed.waitingPolls);
  observe("bellwire_buffered_bytes", "Written to streams and not taken", observed.bufferedBytes);
  observe(
    "bellwire_replay_bytes_in_flight",
    "Of replays, polls and lists, read and not taken yet (MAX_REPLAY_BYTES_IN_FLIGHT)",
    observed.bytesInFlight,
  );
  observe("bellwire_listener_up", "1 while the LISTEN connection hears its own probe", () =>
    Number(observed.isListening()),
  );
  observe("bellwire_feed_up", "1 while the feed's reads succeed", () =>
    Number(observed.isReading()),
  );
  observe(
    "bellwire_busy",
    "1 while wake-ups are suspended under load, and the feed reads every tick",
    () => Number(observed.isBusy()),
  );
  observe(
    "bellwire_read_age_seconds",
    "Since the feed's last read that succeeded",
    observed.readAgeSeconds,
  );
  observe(
    "bellwire_probe_seconds",
    "From the last probe's NOTIFY until the LISTEN connection heard it",
    () => (observed.lastProbe()?.ms ?? 0) / 1000,
  );
  observe(
    "bellwire_notify_queue_usage",
    "How full PostgreSQL's notification queue is, 0 to 1",
    observed.notifyQueueUsage,
  );
  observe(
    "bellwire_wakeups_suspended",
    "1 while wake-ups are suspended, for good or because the notification queue is half full",
    () => Number((observed.lastProbe()?.isSuspended ?? false) || observed.isQueueHeld()),
  );
  new Counter({
    name: "bellwire_log_lines_dropped_total",
    help: "Lines of the log that could not be written",
    registers,
    collect() {
      this.reset();
      this.inc(observed.droppedLogLines());
    },
  });
  new Gauge({
    name: "bellwire_oldest_transaction_seconds",
    help: "For how long we have seen the oldest writing transaction of the cluster open, and whose it is",
    labelNames: ["holder"],
    registers,
    async collect() {
      this.reset();
      const oldest = await withinLimit(observed.oldestTransaction(), undefined);
      // A name is a series of its own: only of what stays.
      if (oldest) this.set({ holder: oldest.seconds < 5 ? "" : oldest.holder }, oldest.seconds);
    },
  });
  new Gauge({
    name: "bellwire_rule_errors",
    help: "Failures of each rule, as bellwire.rules counts them",
    labelNames: ["rule"],
    registers,
    async collect() {
      this.reset();
      // A database that is away hides these and nothing else: an outage is when the others are looked at.
      const found = await withinLimit(observed.ruleErrors(), []);
      for (const { rule, errors } of found) this.set({ rule }, errors);
    },
  });

  return {
    /** `GET /metrics`, on a server of its own: it says what a stranger need not know. */
    handler: metricsHandler(registry),
    wokenUp: () => wakeUps.inc(),
    read(page: Page) {
      reads.inc();
      rowsRead.inc(page.changes.length);
    },
    replayed(readers: number) {
      replayReads.inc();
      replayPages.inc(readers);
    },
    delivered(event: RecipientEvent, isLive: boolean) {
      deliveredOf[event.kind].inc();
      if (isLive && event.kind === "notification") observeDelivery(event.change.createdAt);
    },
    streamClosed: (reason: CloseReason) => closes.inc({ reason }),
    streamRefused: (reason: RefusalReason) => refusals.inc({ reason }),
    streamReset: (reason: ResetReason) => resets.inc({ reason }),
  };
}

/** Prometheus waits 10 s for the whole page, as long as we for one answer of a database that hangs. */
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

function metricsHandler(registry: Registry): RequestListener {
  return async (req, res) => {
    if (req.url !== "/metrics") return void res.writeHead(404).end();
    const text = await registry.metrics();
    res.writeHead(200, { "Content-Type": registry.contentType }).end(text);
  };
}
