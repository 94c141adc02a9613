import type { RequestListener } from "node:http";
import { collectDefaultMetrics, Registry } from "prom-client";
import { createCounters } from "./counters.ts";
import { type Observed, observe } from "./gauges.ts";
import { isLocal } from "./is-local.ts";
import { createLastRequests } from "./last-requests.ts";
import { createStatusReader, type Inspected, type ReadStatus } from "./read-status.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Prometheus metrics, and the status that `bellwire top` shows. No label holds a recipient. The parts report events through the
 * callbacks. Call `observe` when all parts are open: it registers the gauges, which call the parts at each scrape.
 */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const { readDeliveryTimes, close, ...counters } = createCounters([registry]);
  const requests = createLastRequests();
  let readStatus: ReadStatus | undefined;
  return {
    /** `GET /metrics` and `GET /status.json`. They have their own server, because strangers must not read them. */
    handler: handle(registry, () => readStatus?.()),
    ...counters,
    onRequest: requests.keep,
    observe(parts: Observed & Inspected): void {
      observe(parts, [registry]);
      readStatus = createStatusReader({ registry, parts, readDeliveryTimes, requests });
    },
    close,
  };
}

function handle(registry: Registry, readStatus: () => ReturnType<ReadStatus> | undefined) {
  const listener: RequestListener = async (req, res) => {
    if (req.url === "/metrics") {
      const text = await registry.metrics();
      return void res.writeHead(200, { "Content-Type": registry.contentType }).end(text);
    }
    const status = req.url === "/status.json" && isLocal(req) ? await readStatus() : undefined;
    if (!status) return void res.writeHead(404).end();
    res.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-store" });
    res.end(JSON.stringify(status, null, 2));
  };
  return listener;
}
