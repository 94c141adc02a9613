import { type Finding, look, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { proxyOf } from "./proxy.ts";
import { type Answer, ask, type Failure, isFailure } from "./request.ts";
import type { Site } from "./site.ts";

const LIMIT_MS = 3000;

/** Whether strangers can read the metrics: at the site itself, or at the service's own port. No token is sent. */
export async function checkMetricsPort(
  site: Pick<Site, "api" | "isLoopback" | "askRoot">,
  metricsPort: number,
): Promise<Finding> {
  const { hostname, origin, protocol } = site.api;
  const own = new URL(`http://${hostname}:${metricsPort}`);
  const [atSite, status, atPort] = await Promise.all([
    site.askRoot("/metrics"),
    site.askRoot("/status.json"),
    site.isLoopback ? undefined : ask(new URL("/metrics", own), {}, LIMIT_MS),
  ]);
  for (const [answer, path] of [
    [atSite, "/metrics"],
    [status, "/status.json"],
  ] as const)
    if (isMetrics(answer))
      return look("metrics", {
        seen: `${origin}${path} shows the service's metrics to everybody`,
        why: "They tell how many users are connected, and what fails.",
        fix: directive("metrics", isFailure(answer) ? undefined : proxyOf(answer)),
      });
  if (atPort && isMetrics(atPort))
    return look("metrics", {
      seen: `${own.origin}/metrics is reachable from here`,
      why: "If this machine is outside your network, everybody can read the service's metrics.",
      fix: `HOST=127.0.0.1 for the service behind a proxy on its machine, or a firewall before port ${metricsPort}.`,
    });
  const where = site.isLoopback ? "" : ` nor at port ${metricsPort}`;
  return well("metrics", `the metrics are not shown at ${protocol}//${site.api.host}${where}`);
}

const isMetrics = (answer: Answer | Failure): boolean =>
  !isFailure(answer) &&
  answer.status === 200 &&
  /bellwire_streams|"uptimeSeconds"/.test(answer.body);
