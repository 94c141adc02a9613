import type { Answer, Head } from "./request.ts";

/** Whom doctor knows what to tell, and how it signs its responses: in `Server`, `Via` or a header of its own. */
const SIGNS = {
  nginx: /^server: (nginx|openresty|tengine)/im,
  Caddy: /^(server|via): .*caddy/im,
  Apache: /^(server|via): .*apache/im,
  Varnish: /^(via|server): .*varnish|^x-varnish:/im,
  lighttpd: /^server: lighttpd/im,
  "Next.js": /^x-powered-by: next\.js|^x-nextjs-/im,
  Cloudflare: /^server: cloudflare|^cf-ray:/im,
  "an AWS load balancer": /^server: awselb/im,
  CloudFront: /^(via|x-cache): .*cloudfront|^x-amz-cf-id:/im,
  Fly: /^(via|server): .*fly|^fly-request-id:/im,
  Vercel: /^server: vercel|^x-vercel-id:/im,
  Heroku: /^via: .*(vegur|heroku)/im,
  Envoy: /^server: (istio-)?envoy|^x-envoy-/im,
  Squid: /^(via|server): .*squid/im,
  Privoxy: /^(proxy-agent|server|via|x-privoxy[^:]*): .*privoxy/im,
  IIS: /^server: microsoft-iis|^x-powered-by: arr/im,
} as const;

/** HAProxy sends no name. It writes our header names in lower case, and its own pages have its words. */
const HAPROXY_PAGE =
  /No server is available to handle this request|The server didn't respond in time/;
const TRAEFIK_PAGE = /^404 page not found\n?$|^(Bad Gateway|Gateway Timeout)$/;

export type ProxyName = keyof typeof SIGNS | "HAProxy" | "Traefik";

/** The proxy nearest to us that signs its responses; undefined if none does. */
export function proxyOf(answer: Head | Answer): ProxyName | undefined {
  const { rawHeaders } = answer;
  const lines = rawHeaders
    .flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1]}`] : []))
    .join("\n");
  for (const [name, sign] of Object.entries(SIGNS))
    if (sign.test(lines)) return name as keyof typeof SIGNS;
  const body = "body" in answer ? answer.body : "";
  if (HAPROXY_PAGE.test(body) || rawHeaders.includes("x-service-version")) return "HAProxy";
  return TRAEFIK_PAGE.test(body) ? "Traefik" : undefined;
}

/** As a subject: "nginx", or what it must be. */
export const nameOf = (proxy: ProxyName | undefined): string =>
  proxy ?? "something between here and the service";

/** By this header of the service, or by the form of its errors. */
export const isOurs = ({ headers }: Head): boolean =>
  headers["x-service-version"] !== undefined ||
  /^application\/problem\+json/.test(headers["content-type"] ?? "");
