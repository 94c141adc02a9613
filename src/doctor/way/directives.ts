import type { ProxyName } from "./proxy.ts";

const NGINX_HTTP_1_1 = 'proxy_http_version 1.1; proxy_set_header Connection "";';
const NGINX_HOST = "proxy_set_header Host $http_host;";
const NGINX_FORWARDED = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
const CADDY_ENCODE = `In the Caddyfile, compress only what is no stream:
@page not path /api/notifications/stream
encode @page gzip`;

type Directives = Partial<Record<ProxyName, string>>;

/** What to write into which proxy. `otherwise` is for one that doctor does not know, or that has no such setting. */
const DIRECTIVES = {
  /** The stream is held back. */
  buffering: {
    otherwise:
      "Let the proxy pass text/event-stream on as it comes: turn response buffering, and any virus or content filter, off for the stream.",
    nginx:
      "In nginx's location of the stream: proxy_buffering off; proxy_http_version 1.1; and no proxy_ignore_headers X-Accel-Buffering.",
    lighttpd: "In lighttpd: server.stream-response-body = 1",
    Caddy: `${CADDY_ENCODE}
And in its reverse_proxy: flush_interval -1`,
    Apache: "In Apache: ProxyPass … flushpackets=on; and no SetOutputFilter on the stream.",
    Varnish: "In Varnish: set beresp.do_stream = true; or return (pipe) for the stream.",
    Privoxy: `Privoxy filters whole documents. In its user.action, with your site's name:
{ -filter -deanimate-gifs }
.example.com`,
    Cloudflare: "In Cloudflare, turn off features that rewrite responses for this path.",
    HAProxy: "In HAProxy: option http-no-delay; and no option http-buffer-request or compression.",
    IIS: 'In IIS: set responseBufferLimit="0" of the proxy (ARR).',
    "Next.js": "In next.config: compress: false; or let the proxy in front lead past Next.js.",
  },
  compression: {
    otherwise: "Exempt text/event-stream from compression.",
    nginx:
      "In nginx's location of the stream: gzip off; and no proxy_hide_header Content-Encoding.",
    Caddy: CADDY_ENCODE,
    Apache: "In Apache: SetEnvIf Request_URI /stream$ no-gzip=1",
    HAProxy: "In HAProxy: take text/event-stream out of compression type.",
    "Next.js": "In next.config: compress: false",
    Cloudflare: "In Cloudflare: a compression rule that turns it off for this path.",
  },
  chunks: {
    otherwise: "Turn Nagle's algorithm (TCP_NODELAY) off in the proxy.",
    HAProxy: "In HAProxy's defaults: option http-no-delay",
  },
  resume: {
    otherwise: "Let the proxy pass the request header Last-Event-ID on.",
    nginx: 'Remove proxy_set_header Last-Event-ID "" from nginx\'s location of the stream.',
    Apache: "Remove RequestHeader unset Last-Event-ID from Apache's configuration.",
    Caddy: "Remove header_up -Last-Event-ID from Caddy's reverse_proxy.",
    HAProxy: "Remove http-request del-header Last-Event-ID from HAProxy.",
    CloudFront: "In CloudFront: an origin request policy that forwards Last-Event-ID (AllViewer).",
  },
  authorization: {
    otherwise: "Let the proxy pass the request header Authorization on.",
    nginx: 'Remove proxy_set_header Authorization "" from nginx\'s location.',
    Apache:
      "Remove RequestHeader unset Authorization; with Basic authentication in Apache, exempt /api/notifications.",
    Caddy: "Remove header_up -Authorization from Caddy's reverse_proxy.",
    HAProxy: "Remove http-request del-header Authorization from HAProxy.",
    CloudFront:
      "In CloudFront: an origin request policy that forwards Authorization (AllViewer), and no caching.",
  },
  cookie: {
    otherwise: "Let the proxy pass the request header Cookie on.",
    nginx: 'Remove proxy_set_header Cookie "" from nginx\'s location.',
    CloudFront: "In CloudFront: an origin request policy that forwards all cookies.",
    Varnish: "In Varnish: do not unset req.http.Cookie for /api/notifications.",
  },
  host: {
    otherwise: "Let the proxy pass the request header Host on as the browser sent it.",
    nginx: `In nginx's location: ${NGINX_HOST}`,
    Apache: "In Apache: ProxyPreserveHost On",
    Caddy: "Remove header_up Host from Caddy's reverse_proxy.",
    HAProxy: "Remove http-request set-header Host from HAProxy.",
    CloudFront: "In CloudFront: an origin request policy that forwards Host (AllViewer).",
  },
  forwarded: {
    otherwise: "Let the proxy set X-Forwarded-For to the client's address.",
    nginx: `In nginx's location: ${NGINX_FORWARDED}`,
    HAProxy: "In HAProxy's defaults: option forwardfor",
  },
  route: {
    otherwise:
      "Let the proxy pass /api/notifications, with all below it and unchanged, to the service.",
    nginx: `In nginx, with the service's PORT and no path after it: location /api/notifications { proxy_pass http://127.0.0.1:3000; ${NGINX_HTTP_1_1} ${NGINX_HOST} ${NGINX_FORWARDED} }`,
    Caddy: `In the Caddyfile, with the service's PORT:
handle /api/notifications* {
  reverse_proxy 127.0.0.1:3000
}`,
    Apache: `In Apache, before other ProxyPass lines, with the service's PORT:
ProxyPreserveHost On
ProxyPass /api/notifications http://127.0.0.1:3000/api/notifications`,
    HAProxy: "In HAProxy: no http-request set-path or replace-path for /api/notifications.",
    "Next.js":
      'In next.config: rewrites of /api/notifications/:path* to "http://127.0.0.1:3000/api/notifications/:path*"; a page or route of yours with that path goes first.',
    Vercel: "Vercel cannot hold streams. Run the service elsewhere, and give the bell its URL.",
  },
  methods: {
    otherwise: "Let the proxy pass GET, POST, PUT, PATCH and OPTIONS on below /api/notifications.",
    nginx:
      "In nginx's location: no limit_except, and no if ($request_method …), for GET, POST, PUT, PATCH and OPTIONS.",
    Apache:
      "In Apache: no <Limit> or <LimitExcept>, and no AllowMethods, that leaves out PUT and PATCH.",
    HAProxy: "In HAProxy: let http-request deny spare PUT and PATCH (METH_…).",
    CloudFront: "In CloudFront: allowed methods GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE.",
  },
  cors: {
    otherwise: "Let only the service write CORS headers: remove them from the proxy.",
    nginx: "Remove add_header Access-Control-… and the if for OPTIONS from nginx's location.",
    Caddy: "Remove header Access-Control-… and respond for OPTIONS from the Caddyfile.",
    Apache: "Remove Header set Access-Control-… from Apache's configuration.",
    HAProxy: "Remove http-response set-header Access-Control-… from HAProxy.",
  },
  caching: {
    otherwise: "Cache nothing below /api/notifications.",
    nginx: "In nginx's location: proxy_cache off; and no proxy_ignore_headers Cache-Control.",
    Varnish:
      'First in Varnish\'s vcl_recv: if (req.url ~ "^/api/notifications") { return (pass); }',
    Cloudflare: "In Cloudflare: a cache rule that bypasses the cache for /api/notifications*.",
    CloudFront: "In CloudFront: the cache policy CachingDisabled for /api/notifications*.",
    Apache: "In Apache: CacheDisable /api/notifications",
  },
  cacheControl: {
    otherwise: "Let the proxy keep the response header Cache-Control as the service sends it.",
    nginx:
      "In nginx's location: no add_header Cache-Control, no expires, no proxy_hide_header Cache-Control.",
    Apache:
      "In Apache: no Header set Cache-Control, and ExpiresActive Off, for /api/notifications.",
    Varnish:
      "In Varnish: leave beresp.http.Cache-Control as it is, and return (pass) for /api/notifications.",
    Caddy: "Remove header Cache-Control from the Caddyfile for /api/notifications.",
    HAProxy: "Remove http-response set-header Cache-Control from HAProxy.",
  },
  timeout: {
    otherwise:
      "Raise the proxy's idle or response time-out above HEARTBEAT_SECONDS, or lower HEARTBEAT_SECONDS.",
    nginx:
      "In nginx's location of the stream: proxy_read_timeout 60s; or more (its default is 60 s).",
    Apache: "In Apache: ProxyPass … timeout=60, or ProxyTimeout 60.",
    HAProxy: "In HAProxy: timeout client 60s and timeout server 60s.",
    "Next.js":
      "Next.js rewrites end after 30 s of silence (experimental.proxyTimeout). Lower HEARTBEAT_SECONDS below that.",
    "an AWS load balancer":
      "Raise the load balancer's idle_timeout.timeout_seconds (its default is 60).",
    Fly: "In fly.toml: [http_service.http_options] idle_timeout = 600",
    Varnish: "In Varnish: return (pipe) for the stream, and raise pipe_timeout.",
  },
  upstream: {
    otherwise:
      "Start the service (systemctl status bellwire), and compare the proxy's target with HOST and PORT.",
    nginx:
      "See whether the service runs (systemctl status bellwire), and whether nginx's proxy_pass names its HOST and PORT; /var/log/nginx/error.log has the reason.",
    Caddy:
      "See whether the service runs (systemctl status bellwire), and whether Caddy's reverse_proxy names its HOST and PORT.",
    Apache:
      "See whether the service runs (systemctl status bellwire), and whether ProxyPass names its HOST and PORT; Apache's error.log has the reason.",
    HAProxy:
      "See whether the service runs (systemctl status bellwire), and whether HAProxy's server line and its check fit it.",
    Fly: "fly status; the machine may be down, or not listen on internal_port with HOST=0.0.0.0.",
  },
  upstreamVersion: {
    otherwise: "Let the proxy ask the service in HTTP/1.1.",
    nginx: `In nginx's location: ${NGINX_HTTP_1_1}`,
    Apache: "In Apache: no SetEnv force-proxy-request-1.0.",
  },
  http2: {
    otherwise: "Turn HTTP/2 on at the proxy that ends TLS.",
    nginx: "In nginx: listen 443 ssl http2; (from 1.25.1: http2 on;)",
    Apache: "In Apache: a2enmod http2, and Protocols h2 http/1.1",
    HAProxy: "In HAProxy: bind :443 ssl crt … alpn h2,http/1.1",
    lighttpd: 'In lighttpd: server.feature-flags += ("server.h2proto" => "enable")',
    Caddy: "Remove protocols from Caddy's global options: it speaks HTTP/2 by itself.",
    Varnish:
      "HTTP/2 comes from what ends TLS before Varnish; start Varnish with -p feature=+http2.",
  },
  metrics: {
    otherwise: "Do not let the proxy lead to METRICS_PORT.",
    nginx:
      "Remove the location that leads to METRICS_PORT, or: location = /metrics { return 404; }",
  },
  basicAuth: {
    otherwise: "Exempt /api/notifications from the proxy's password.",
    nginx: "In nginx's location /api/notifications: auth_basic off;",
    Caddy: `In the Caddyfile, ask for a password only where there are pages:
@page not path /api/notifications*
basicauth @page { … }`,
    Apache: `In Apache:
<Location /api/notifications>
  Require all granted
</Location>`,
  },
} as const satisfies Record<string, Directives & { otherwise: string }>;

export type Fault = keyof typeof DIRECTIVES;

export function directive(fault: Fault, proxy: ProxyName | undefined): string {
  const { otherwise, ...known }: Directives & { otherwise: string } = DIRECTIVES[fault];
  return (proxy && known[proxy]) ?? otherwise;
}
