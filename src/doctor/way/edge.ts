import { isIP } from "node:net";
import { connect } from "node:tls";
import { type Finding, look, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { proxyOf } from "./proxy.ts";
import { describe, type Failure, type Head } from "./request.ts";
import type { Site } from "./site.ts";

const LIMIT_MS = 8000;
const SIX =
  "Over HTTP/1.1 a browser opens six connections to a site, over all tabs. Other streams of the page can use them up, and then every request waits.";

/** The protocol that TLS agrees on, as with a browser; undefined over plain HTTP. Before any token is sent. */
export function negotiate(url: URL): Promise<string | Failure | undefined> {
  if (url.protocol === "http:") return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const socket = connect({
      host,
      port: Number(url.port || 443),
      ALPNProtocols: ["h2", "http/1.1"],
      ...(isIP(host) ? {} : { servername: host }),
    });
    function settle(found: string | Failure) {
      socket.destroy();
      resolve(found);
    }
    socket.setTimeout(LIMIT_MS, () =>
      settle({ code: "TIMEOUT", message: `no TLS handshake within ${LIMIT_MS / 1000} s` }),
    );
    socket.on("error", (err) => settle(describe(err)));
    socket.on("secureConnect", () => settle(socket.alpnProtocol || "http/1.1"));
  });
}

export function checkHttpVersion(
  { api, isLoopback }: Pick<Site, "api" | "isLoopback">,
  protocol: string | undefined,
  head: Head,
): Finding {
  if (head.httpVersion === "1.0")
    return look("http_version", {
      seen: `${api.host} answers in HTTP/1.0`,
      why: "Some clients wait for the end of such a response before they show any of it.",
      fix: "Let the proxy answer in HTTP/1.1 or HTTP/2.",
    });
  if (protocol === "h2") return well("http_version", "HTTP/2, so many tabs share one connection");
  if (protocol === undefined && isLoopback)
    return well("http_version", "HTTP/1.1 without TLS, on this machine");
  if (protocol === undefined)
    return look("http_version", {
      seen: `${api.origin} is plain HTTP`,
      why: `Everyone on the way can read the tokens. And browsers speak HTTP/2 only over TLS. ${SIX}`,
      fix: "Let the proxy end TLS (Caddy does by itself, certbot for nginx), and use https://.",
    });
  return look("http_version", {
    seen: `${api.host} speaks only HTTP/1.1, no HTTP/2`,
    why: SIX,
    fix: directive("http2", proxyOf(head)),
  });
}
