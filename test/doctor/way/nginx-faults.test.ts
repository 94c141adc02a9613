import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPort } from "../../faults/support/ports.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { hasNginx, startNginx } from "../../support/nginx.ts";
import { openService, type Service } from "../../support/service.ts";
import { examine, expectTrouble, QUICK } from "./support/examine.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({
    databaseUrl: database.url,
    port: await findPort(),
    env: {
      ...QUICK,
      TRUST_PROXY: "1",
      JWT_COOKIE: "session",
      ALLOWED_ORIGINS: "https://shop.example",
    },
  });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

const GOOD = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`;
const SERVICE = "proxy_pass $service;";

interface Fault {
  fault: string;
  /** nginx's server block, with `SERVICE` for the service. */
  locations: string;
  http?: string;
  level?: "look" | "broken";
  check: string;
  seen: RegExp;
  fix: RegExp;
  origin?: string;
}

const FAULTS: Fault[] = [
  {
    fault: "nginx holds a stream back",
    // With HTTP/1.0 to the service there are no chunks, so nothing tells nginx where an event ends.
    locations: `location / { ${SERVICE} ${GOOD.replace("1.1", "1.0")} proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; }`,
    check: "buffering",
    seen: /^nginx holds the stream back/,
    fix: /proxy_buffering off; proxy_http_version 1\.1; and no proxy_ignore_headers X-Accel-Buffering/,
  },
  {
    fault: "nginx compresses the stream",
    locations: `location / { ${SERVICE} ${GOOD} proxy_hide_header Content-Encoding; gzip on; gzip_min_length 0; gzip_types text/event-stream; }`,
    level: "look",
    check: "compression",
    seen: /^nginx compresses the stream \(Content-Encoding: gzip\)/,
    fix: /gzip off/,
  },
  {
    fault: "nginx asks the service in HTTP/1.0",
    locations: `location / { ${SERVICE} ${GOOD.replace(/^.*?;.*?;/, "")} }`,
    level: "look",
    check: "upstream_version",
    seen: /^nginx asks the service in HTTP\/1\.0/,
    fix: /proxy_http_version 1\.1/,
  },
  {
    fault: "nginx drops Authorization",
    locations: `location / { ${SERVICE} ${GOOD} proxy_set_header Authorization ""; }`,
    check: "authorization",
    seen: /^the request header Authorization is lost on the way/,
    fix: /Remove proxy_set_header Authorization ""/,
  },
  {
    fault: "nginx drops Last-Event-ID",
    locations: `location / { ${SERVICE} ${GOOD} proxy_set_header Last-Event-ID ""; }`,
    check: "last_event_id",
    seen: /Last-Event-ID is lost on the way: nginx drops it/,
    fix: /Remove proxy_set_header Last-Event-ID ""/,
  },
  {
    fault: "nginx drops cookies",
    locations: `location / { ${SERVICE} ${GOOD} proxy_set_header Cookie ""; }`,
    check: "cookie",
    seen: /^the cookie session is lost on the way: 401 token_missing/,
    fix: /Remove proxy_set_header Cookie ""/,
  },
  {
    fault: "nginx replaces Host",
    locations: `location / { ${SERVICE} ${GOOD.replace("$http_host", "bellwire.internal")} }`,
    check: "cookie",
    seen: /refused as another site's: 403 origin_refused/,
    fix: /proxy_set_header Host \$http_host;/,
  },
  {
    fault: "nginx leads the path to the front end",
    locations: `location / { default_type text/html; return 200 "<!doctype html><title>Shop</title>"; }`,
    check: "route",
    seen: /answered by nginx or the application behind it, not by the service: 200, an HTML page/,
    fix: /location \/api\/notifications \{ proxy_pass/,
  },
  {
    fault: "nginx answers 404 for the front end",
    locations: `location / { default_type text/html; return 404 "<h1>Not found</h1>"; }`,
    check: "route",
    seen: /not by the service: 404, an HTML page/,
    fix: /location \/api\/notifications/,
  },
  {
    fault: "nginx cuts the path",
    locations: `location /api/ { rewrite ^/api/(.*)$ /$1 break; ${SERVICE} ${GOOD} }`,
    check: "route",
    seen: /reaches the service under another path: the service answers 404 route_unknown/,
    fix: /no path after it: location \/api\/notifications/,
  },
  {
    fault: "nginx redirects to a login",
    locations: "location /api/ { return 302 https://sso.example.com/login?next=/; }",
    check: "login",
    seen: /redirected \(302\) to https:\/\/sso\.example\.com\/login by nginx/,
    fix: /Exempt \/api\/notifications from the login in nginx/,
  },
  {
    fault: "nginx redirects to https",
    locations: "location /api/ { return 301 https://$host$request_uri; }",
    check: "redirect",
    seen: /redirected \(301\) to https:\/\/127\.0\.0\.1\//,
    fix: /bellwire doctor https:\/\/127\.0\.0\.1,/,
  },
  {
    fault: "nginx has no service behind it",
    locations: "location / { proxy_pass http://127.0.0.1:1; }",
    check: "proxy",
    seen: /^502 from nginx, not from the service/,
    fix: /systemctl status bellwire.*proxy_pass.*error\.log/,
  },
  {
    fault: "nginx answers in the service's place while it is away",
    // As the file of deploy/ does, but only for streams.
    locations: `location / { ${SERVICE} ${GOOD} } location = /api/notifications/stream {
      default_type text/event-stream; return 200 'retry: 3000\nevent: ping\ndata: {"time":""}\n\n'; }`,
    check: "proxy",
    seen: /^nginx answers the stream in the service's place: one ping, and "retry" in 3000 ms/,
    fix: /systemctl status bellwire/,
  },
  {
    fault: "nginx asks for a password",
    locations: `location / { auth_basic "staff"; auth_basic_user_file /dev/null; ${SERVICE} ${GOOD} }`,
    check: "password",
    seen: /asks for a password .*401, WWW-Authenticate: Basic, from nginx/,
    fix: /auth_basic off/,
  },
  {
    fault: "nginx lets only GET and POST through",
    locations: `location / { limit_except GET POST { deny all; } ${SERVICE} ${GOOD} }`,
    check: "writes",
    seen: /^PATCH, PUT do not reach the service: 403 from nginx/,
    fix: /no limit_except/,
  },
  {
    fault: "nginx caches polls",
    http: "proxy_cache_path cache keys_zone=doctor:1m;",
    locations: `location / { ${SERVICE} ${GOOD} }
      location /api/notifications/poll { ${SERVICE} ${GOOD} proxy_cache doctor; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control; }`,
    check: "cache",
    seen: /^nginx caches \/poll/,
    fix: /proxy_cache off; and no proxy_ignore_headers Cache-Control/,
  },
  {
    fault: "nginx answers requests of strangers from its cache",
    http: "proxy_cache_path cache keys_zone=doctor:1m;",
    locations: `location / { ${SERVICE} ${GOOD} }
      location /api/notifications/unread-count { ${SERVICE} ${GOOD} proxy_cache doctor; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control; }`,
    check: "strangers",
    seen: /a request with a wrong token is answered with 200/,
    fix: /proxy_cache off/,
  },
  {
    fault: "nginx leads polls elsewhere",
    locations: `location / { ${SERVICE} ${GOOD} } location = /api/notifications/poll { return 404; }`,
    level: "look",
    check: "poll",
    seen: /^\/poll is not answered by the service: 404 from nginx/,
    fix: /location \/api\/notifications/,
  },
  {
    fault: "nginx changes Cache-Control",
    locations: `location / { ${SERVICE} ${GOOD} proxy_hide_header Cache-Control; add_header Cache-Control "public, max-age=60" always; }`,
    level: "look",
    check: "cache_control",
    seen: /^nginx has changed the stream's Cache-Control to public, max-age=60/,
    fix: /no add_header Cache-Control/,
  },
  {
    fault: "nginx drops Origin",
    origin: "https://shop.example",
    locations: `location / { ${SERVICE} ${GOOD} proxy_set_header Origin ""; }`,
    check: "cors",
    seen: /^ALLOWED_ORIGINS has https:\/\/shop\.example, .*nginx drops it, or the request header Origin$/,
    fix: /no proxy_set_header Origin/,
  },
  {
    fault: "nginx writes CORS headers besides the service",
    origin: "https://shop.example",
    locations: `location / { ${SERVICE} ${GOOD} add_header Access-Control-Allow-Origin "*" always; }`,
    check: "cors",
    seen: /comes twice: https:\/\/shop\.example and \*; nginx adds its own/,
    fix: /Remove add_header Access-Control-…/,
  },
  {
    fault: "nginx answers preflights",
    origin: "https://shop.example",
    locations: `location / { if ($request_method = OPTIONS) { add_header Access-Control-Allow-Origin $http_origin; add_header Access-Control-Allow-Headers Authorization; return 204; } ${SERVICE} ${GOOD} }`,
    check: "preflight",
    seen: /^nginx answers the preflight \(OPTIONS\), not the service: Access-Control-Allow-Headers lacks last-event-id/,
    fix: /the if for OPTIONS/,
  },
  {
    fault: "nginx shows the metrics",
    locations: `location / { ${SERVICE} ${GOOD} } location = /metrics { proxy_pass $metrics; }`,
    level: "look",
    check: "metrics",
    seen: /\/metrics shows the service's metrics to everybody/,
    fix: /Remove the location that leads to METRICS_PORT/,
  },
  {
    fault: "nginx does not tell the client's address",
    locations: `location / { ${SERVICE} ${GOOD.replace(/proxy_set_header X-F.*/, "")} }`,
    level: "look",
    check: "trust_proxy",
    seen: /TRUST_PROXY is 1, and 0 proxies add an address on this way/,
    fix: /proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for; With TRUST_PROXY=1/,
  },
];

describe.skipIf(!hasNginx)("doctor names it if", () => {
  test.each(FAULTS)(
    "$fault",
    async ({ locations, http = "", level = "broken", check, seen, fix, origin }) => {
      const filled = locations
        .replaceAll("$service", service.url)
        .replaceAll("$metrics", service.metricsUrl);
      const { url, port } = await startNginx({ locations: filled, http });
      const findings = await examine(service, url.replace(/\d+$/, String(port)), {
        databaseUrl: database.url,
        settings: { cookie: "session" },
        origin,
      });
      const found = expectTrouble(findings, level, check);
      expect(found.seen).toMatch(seen);
      expect(found.fix).toMatch(fix);
    },
  );
});
