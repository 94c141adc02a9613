import { Counter, Histogram, type Registry } from "prom-client";
import type { Page } from "../changes/changes.ts";
import type { CloseReason, RefusalReason } from "../connections/close-reason.ts";
import type { FeedReadBy } from "../db/feed-session.ts";
import type { RecipientEvent } from "../hub/events.ts";
import type { ResetReason } from "../hub/follow.ts";
import { watchLastMinute } from "./last-minute.ts";

/** Counters, and the callbacks through which the parts report to them. */
export function createCounters(registers: Registry[]) {
  // Added up here, because they are counted for every event of every stream.
  const delivered = { notification: 0, state: 0 };
  new Counter({
    name: "bellwire_delivered_total",
    help: "Events written to streams",
    labelNames: ["event"],
    registers,
    collect() {
      this.inc({ event: "notification" }, delivered.notification);
      this.inc({ event: "state" }, delivered.state);
      Object.assign(delivered, { notification: 0, state: 0 });
    },
  });
  const deliverySeconds = new Histogram({
    name: "bellwire_delivery_seconds",
    help: "Time from a notification's created_at to its write to the socket of a live stream",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const lastMinute = watchLastMinute(deliverySeconds);
  function observeDelivery(createdAt: string) {
    const seconds = (Date.now() - Date.parse(createdAt)) / 1000;
    // PostgreSQL has `infinity` and years that a JavaScript Date cannot hold.
    if (Number.isFinite(seconds)) deliverySeconds.observe(seconds);
  }
  const wakeUps = new Counter({
    name: "bellwire_wakeups_total",
    help: "Wake-ups (NOTIFY) received",
    registers,
  });
  const reads = new Counter({
    name: "bellwire_reads_total",
    help: "Pages that the feed has read",
    registers,
  });
  const feedReads = new Counter({
    name: "bellwire_feed_reads_total",
    help: "The same pages by how they were read: session, by the feed's own session; function, by bellwire.changes_since() because there were more than a few new rows; no_session, by that function because the session was not open",
    labelNames: ["by"],
    registers,
  });
  const rowsRead = new Counter({
    name: "bellwire_rows_read_total",
    help: "New and changed rows that the feed has read, of connected and other recipients",
    registers,
  });
  const replayReads = new Counter({
    name: "bellwire_replay_reads_total",
    help: "Queries for rows that streams and polls had missed",
    registers,
  });
  const replayPages = new Counter({
    name: "bellwire_replay_pages_total",
    help: "Pages that these queries returned: one for each stream or poll that shared a query",
    registers,
  });
  const closes = new Counter({
    name: "bellwire_stream_closes_total",
    help: "Streams that were closed",
    labelNames: ["reason"],
    registers,
  });
  const refusals = new Counter({
    name: "bellwire_stream_refusals_total",
    help: "Streams that were refused, except for their token or origin",
    labelNames: ["reason"],
    registers,
  });
  const resets = new Counter({
    name: "bellwire_stream_resets_total",
    help: "Resets: streams told to fetch their list again",
    labelNames: ["reason"],
    registers,
  });
  return {
    onWakeUp: () => wakeUps.inc(),
    onRead(page: Page) {
      reads.inc();
      rowsRead.inc(page.changes.length);
    },
    onFeedRead: (by: FeedReadBy) => feedReads.inc({ by }),
    onReplayRead(readers: number) {
      replayReads.inc();
      replayPages.inc(readers);
    },
    onEvent(event: RecipientEvent, isLive: boolean) {
      delivered[event.kind]++;
      if (isLive && event.kind === "notification") observeDelivery(event.change.createdAt);
    },
    onClosed: (reason: CloseReason) => closes.inc({ reason }),
    onRefused: (reason: RefusalReason) => refusals.inc({ reason }),
    onReset: (reason: ResetReason) => resets.inc({ reason }),
    /** Of the last minute. */
    readDeliveryTimes: lastMinute.read,
    close: lastMinute.close,
  };
}
