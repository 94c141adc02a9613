import type { RequestListener } from "node:http";
import { collectDefaultMetrics, Registry } from "prom-client";
import { createCounters } from "./counters.ts";
import { type Observed, observe } from "./gauges.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Prometheus metrics. No label holds a recipient. The parts report events through the callbacks. Call `observe` when all parts are
 * open: it registers the gauges, which call the parts at each scrape.
 */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    /** `GET /metrics`. It has its own server, because strangers must not read it. */
    handler: metricsHandler(registry),
    ...createCounters([registry]),
    observe: (observed: Observed) => observe(observed, [registry]),
  };
}

function metricsHandler(registry: Registry): RequestListener {
  return async (req, res) => {
    if (req.url !== "/metrics") return void res.writeHead(404).end();
    const text = await registry.metrics();
    res.writeHead(200, { "Content-Type": registry.contentType }).end(text);
  };
}
