import { Counter, Gauge, type Registry } from "prom-client";
import type { OldestTransaction } from "../db/oldest-transaction.ts";
import type { ProbeResult } from "../db/probe.ts";
import type { RuleErrors } from "../db/rule-errors.ts";

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

/** Registers what is asked for when somebody looks. */
export function observe(observed: Observed, registers: Registry[]): void {
  /** A number that is asked for when somebody looks. */
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
  gauge("bellwire_waiting_polls", "Polls that wait for something to tell", observed.waitingPolls);
  gauge("bellwire_buffered_bytes", "Written to streams and not taken", observed.bufferedBytes);
  gauge(
    "bellwire_replay_bytes_in_flight",
    "Of replays, polls and lists, read and not taken yet (MAX_REPLAY_BYTES_IN_FLIGHT)",
    observed.bytesInFlight,
  );
  gauge("bellwire_listener_up", "1 while the LISTEN connection hears its own probe", () =>
    Number(observed.isListening()),
  );
  gauge("bellwire_feed_up", "1 while the feed's reads succeed", () => Number(observed.isReading()));
  gauge(
    "bellwire_busy",
    "1 while wake-ups are suspended under load, and the feed reads every tick",
    () => Number(observed.isBusy()),
  );
  gauge(
    "bellwire_read_age_seconds",
    "Since the feed's last read that succeeded",
    observed.readAgeSeconds,
  );
  gauge(
    "bellwire_probe_seconds",
    "From the last probe's NOTIFY until the LISTEN connection heard it",
    () => (observed.lastProbe()?.ms ?? 0) / 1000,
  );
  gauge(
    "bellwire_notify_queue_usage",
    "How full PostgreSQL's notification queue is, 0 to 1",
    observed.notifyQueueUsage,
  );
  gauge(
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
