import type { RequestListener } from "node:http";
import { collectDefaultMetrics, Registry } from "prom-client";
import { createCounters } from "./counters.ts";
import { type Observed, observe } from "./gauges.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Prometheus metrics. No label holds a recipient. Parts report what happens to the callbacks; `observe` has the gauges ask, once
 * all the parts are open.
 */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    /** `GET /metrics`, on a server of its own: it says what a stranger need not know. */
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
