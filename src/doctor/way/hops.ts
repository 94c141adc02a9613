import { fetchStatus } from "../../metrics/fetch-status.ts";
import type { Status } from "../../metrics/status.ts";
import { type Finding, look, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { nameOf, type ProxyName } from "./proxy.ts";
import type { Site } from "./site.ts";

type Hop = Status["requests"][number];

/** Of a network that nobody uses (RFC 5737). */
const FORGED = "192.0.2.77";

/** What the service on this machine says of itself and of our requests. */
export interface LocalStatus {
  settings: Status["settings"];
  honest: Hop;
  forged: Hop;
}

/**
 * Asks through the way, once honestly and once with a forged address, and then the service on this machine how both arrived. A
 * string if it cannot be asked, or is not the one behind the URL.
 */
export async function readLocalStatus(
  site: Pick<Site, "ask">,
  metricsPort: number,
  marker: string,
): Promise<LocalStatus | string> {
  const mark = (name: string) => ({ "Bellwire-Doctor": marker + name });
  await site.ask("/unread-count", { headers: mark("honest") });
  await site.ask("/unread-count", { headers: { ...mark("forged"), "X-Forwarded-For": FORGED } });
  const status = await fetchStatus(metricsPort).catch(() => undefined);
  if (!status)
    return `no service of this release shows its status at port ${metricsPort} of this machine`;
  const { requests, settings } = status;
  const find = (name: string) => requests.find(({ doctor }) => doctor === marker + name);
  const [honest, forged] = ["honest", "forged"].map(find);
  if (!honest || !forged)
    return `the service on this machine (port ${metricsPort}) is not the one behind the URL`;
  return { settings, honest, forged };
}

/** Compares TRUST_PROXY, and what a proxy should leave as it is, with how our requests arrived. */
export function checkHops(
  local: LocalStatus | string,
  api: URL,
  proxy: ProxyName | undefined,
): Finding[] {
  if (typeof local === "string")
    return [
      well(
        "trust_proxy",
        `not examined: ${local}. Run doctor on the service's machine to examine TRUST_PROXY`,
      ),
    ];
  return [checkTrust(local, api, proxy), ...checkUpstream(local, proxy)];
}

function checkTrust(
  { settings, honest, forged }: LocalStatus,
  api: URL,
  proxy: ProxyName | undefined,
): Finding {
  const trusted = settings.TRUST_PROXY;
  const proxies = honest.forwardedFor;
  // Port 0 is any that was free.
  const isDirect = proxies === 0 && [0, Number(api.port || 80)].includes(settings.PORT);
  if (forged.clientAddress === FORGED) {
    const fix =
      proxies === 0 && !isDirect
        ? `${directive("forwarded", proxy)} With TRUST_PROXY=1.`
        : `TRUST_PROXY=${proxies} for the service.`;
    return look("trust_proxy", {
      seen: `TRUST_PROXY is ${trusted}, and ${proxies} ${proxies === 1 ? "proxy adds" : "proxies add"} an address on this way: a client that sends X-Forwarded-For is believed`,
      why: "Anybody can choose the address that the limits count, and get past them.",
      fix,
    });
  }
  if (trusted < proxies)
    return look("trust_proxy", {
      seen: `TRUST_PROXY is ${trusted}, and ${proxies} ${proxies === 1 ? "proxy adds its" : "proxies add their"} client's address on this way`,
      why: `All clients count as one address, ${honest.clientAddress}, so they share one limit of new streams a second. After a restart most of them wait.`,
      fix: `TRUST_PROXY=${proxies} for the service, and restart it.`,
    });
  if (proxies === 0 && !isDirect)
    return look("trust_proxy", {
      seen: `${nameOf(proxy)} does not tell the service the client's address: no X-Forwarded-For`,
      why: "All clients count as one address, so they share one limit of new streams a second. After a restart most of them wait.",
      fix: `${directive("forwarded", proxy)} And TRUST_PROXY=1 for the service.`,
    });
  return well("trust_proxy", `TRUST_PROXY is ${trusted}, as this way needs`);
}

function checkUpstream({ honest }: LocalStatus, proxy: ProxyName | undefined): Finding[] {
  if (honest.httpVersion !== "1.0") return [];
  return [
    look("upstream_version", {
      seen: `${nameOf(proxy)} asks the service in HTTP/1.0`,
      why: "A stream in HTTP/1.0 has no chunks. Streams pass only as long as the proxy heeds X-Accel-Buffering: no, and each request opens a connection.",
      fix: directive("upstreamVersion", proxy),
    }),
  ];
}
