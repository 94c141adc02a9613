import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { examine, troublesIn } from "../doctor/way/support/examine.ts";
import { findPort } from "../faults/support/ports.ts";
import {
  apache,
  caddy,
  haproxy,
  lighttpd,
  type Program,
  type Start,
  starter,
  varnish,
} from "../faults/support/proxies.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { openService, type Service } from "../support/service.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({
    databaseUrl: database.url,
    port: await findPort(),
    // A ping may push a row out of a buffer.
    env: { HEARTBEAT_SECONDS: "3", PING_SECONDS: "3", TRUST_PROXY: "1", JWT_COOKIE: "session" },
  });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

interface Case {
  fault: string;
  check: string;
  /** What doctor says, word for word, and the proxy then has. */
  advice: string;
  /** The proxy with the fault. Undefined if it is not installed. */
  faulty: Start | undefined;
  /** The same proxy after its operator has done what doctor says. */
  mended: (advice: string) => Start | undefined;
}

const PASS = `proxy_pass $service; proxy_http_version 1.1; proxy_set_header Connection "";`;
const GOOD = `${PASS} proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`;

const nginx = (locations: string, http = ""): Start | undefined =>
  hasNginx
    ? async (target) => {
        const filled = locations
          .replaceAll("$service", `http://127.0.0.1:${target}`)
          .replaceAll("127.0.0.1:3000", `127.0.0.1:${target}`);
        return (await startNginx({ locations: filled, http })).url;
      }
    : undefined;

/** With the service's port in place of the default one. */
const started = (program: Program): Start | undefined =>
  starter({
    ...program,
    config: (port, folder, target) =>
      program.config(port, folder, target).replaceAll("127.0.0.1:3000", `127.0.0.1:${target}`),
  });

const PRESERVE = "ProxyPreserveHost On\n";
const PAGE = "\n  handle /api/* {\n    header Content-Type text/html\n    respond <html>\n  }\n";

const caddyThatCompresses = (encode: string) =>
  started({
    ...caddy(),
    config: (port, _, target) =>
      `{\n  admin off\n}\nhttp://:${port} {\n  bind 127.0.0.1\n  ${encode}\n  reverse_proxy 127.0.0.1:${target} {\n    header_down -Content-Encoding\n  }\n}\n`,
  });

/** A cache that looks neither at Authorization nor, because it is gone, at Cache-Control. */
const varnishThatCaches = (first: string) =>
  started(
    varnish(`sub vcl_recv { ${first} if (req.url ~ "/stream") { return (hash); } return (pass); }
sub vcl_backend_response {
  if (bereq.url ~ "/stream" && !bereq.uncacheable) { unset beresp.http.Cache-Control; set beresp.ttl = 60s; return (deliver); }
}`),
  );

const NGINX_HEADERS = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`;

const CASES: Case[] = [
  {
    fault: "nginx holds a stream back",
    check: "buffering",
    advice: "proxy_buffering off; proxy_http_version 1.1;",
    faulty: nginx(
      `location / { ${GOOD.replace("1.1", "1.0")} proxy_ignore_headers X-Accel-Buffering; }`,
    ),
    mended: (advice) =>
      nginx(`location / { ${GOOD.replace("proxy_http_version 1.1;", "")} ${advice} }`),
  },
  {
    fault: "nginx compresses the stream",
    check: "compression",
    advice: "gzip off;",
    faulty: nginx(
      `location / { ${GOOD} proxy_hide_header Content-Encoding; gzip on; gzip_min_length 0; gzip_types text/event-stream; }`,
    ),
    mended: (advice) =>
      nginx(`location / { ${GOOD} gzip_min_length 0; gzip_types text/event-stream; ${advice} }`),
  },
  {
    fault: "nginx leads the path to the front end",
    check: "route",
    advice: `location /api/notifications { proxy_pass http://127.0.0.1:3000; ${NGINX_HEADERS} }`,
    faulty: nginx(`location / { default_type text/html; return 200 "<html>"; }`),
    mended: (advice) =>
      nginx(`location / { default_type text/html; return 200 "<html>"; }\n${advice}`),
  },
  {
    fault: "nginx replaces Host",
    check: "cookie",
    advice: "proxy_set_header Host $http_host;",
    faulty: nginx(`location / { ${GOOD.replace("$http_host", "bellwire.internal")} }`),
    mended: (advice) =>
      nginx(`location / { ${GOOD.replace("proxy_set_header Host $http_host;", advice)} }`),
  },
  {
    fault: "nginx asks for a password",
    check: "password",
    advice: "auth_basic off;",
    faulty: nginx(
      `auth_basic staff; auth_basic_user_file /dev/null; location /api/notifications { ${GOOD} }`,
    ),
    mended: (advice) =>
      nginx(
        `auth_basic staff; auth_basic_user_file /dev/null; location /api/notifications { ${GOOD} ${advice} }`,
      ),
  },
  {
    fault: "nginx does not tell the client's address",
    check: "trust_proxy",
    advice: "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    faulty: nginx(`location / { ${PASS} proxy_set_header Host $http_host; }`),
    mended: (advice) => nginx(`location / { ${PASS} proxy_set_header Host $http_host; ${advice} }`),
  },
  {
    fault: "nginx asks the service in HTTP/1.0",
    check: "upstream_version",
    advice: 'proxy_http_version 1.1; proxy_set_header Connection "";',
    faulty: nginx(
      `location / { ${GOOD.replace('proxy_http_version 1.1; proxy_set_header Connection "";', "")} }`,
    ),
    mended: (advice) =>
      nginx(
        `location / { ${GOOD.replace('proxy_http_version 1.1; proxy_set_header Connection "";', advice)} }`,
      ),
  },
  {
    fault: "nginx shows the metrics",
    check: "metrics",
    advice: "location = /metrics { return 404; }",
    faulty: nginx(`location / { ${GOOD} } location = /metrics { return 200 bellwire_streams; }`),
    mended: (advice) => nginx(`location / { ${GOOD} } ${advice}`),
  },
  {
    fault: "Caddy compresses a stream and holds it back",
    check: "buffering",
    advice: "@page not path /api/notifications/stream\nencode @page gzip",
    faulty: caddyThatCompresses("encode {\n    gzip\n    minimum_length 1\n  }"),
    mended: (advice) => caddyThatCompresses(advice),
  },
  {
    fault: "Caddy leads the path to the front end",
    check: "route",
    advice: "handle /api/notifications* {\n  reverse_proxy 127.0.0.1:3000\n}",
    faulty: started(caddy(PAGE)),
    mended: (advice) => started(caddy(`${advice}${PAGE}`)),
  },
  {
    fault: "HAProxy delays each chunk",
    check: "chunks",
    advice: "option http-no-delay",
    faulty: started(haproxy("option forwardfor")),
    mended: (advice) => started(haproxy(`option forwardfor\n  ${advice}`)),
  },
  {
    fault: "HAProxy does not tell the client's address",
    check: "trust_proxy",
    advice: "option forwardfor",
    faulty: started(haproxy("option http-no-delay")),
    mended: (advice) => started(haproxy(`option http-no-delay\n  ${advice}`)),
  },
  {
    fault: "Apache compresses a stream",
    check: "compression",
    advice: "SetEnvIf Request_URI /stream$ no-gzip=1",
    faulty: started(apache(`${PRESERVE}SetOutputFilter DEFLATE`)),
    mended: (advice) => started(apache(`${PRESERVE}SetOutputFilter DEFLATE\n${advice}`)),
  },
  {
    fault: "Apache leads the path to the front end",
    check: "route",
    advice:
      "ProxyPreserveHost On\nProxyPass /api/notifications http://127.0.0.1:3000/api/notifications",
    faulty: started(apache("ProxyPass /api !")),
    mended: (advice) => started(apache(`${advice}\nProxyPass /api !`)),
  },
  {
    fault: "Apache replaces Host",
    check: "cookie",
    advice: "ProxyPreserveHost On",
    faulty: started(apache()),
    mended: (advice) => started(apache(advice)),
  },
  {
    fault: "lighttpd holds a stream back",
    check: "buffering",
    advice: "server.stream-response-body = 1",
    faulty: started(lighttpd(false)),
    mended: () => started(lighttpd(true)),
  },
  {
    fault: "Varnish hands one stream to two readers",
    check: "shared_stream",
    advice: 'if (req.url ~ "^/api/notifications") { return (pass); }',
    faulty: varnishThatCaches(""),
    mended: (advice) => varnishThatCaches(advice),
  },
];

describe("what doctor says mends it:", () => {
  test.each(CASES)("$fault", async ({ check, advice, faulty, mended }) => {
    const corrected = mended(advice);
    if (!faulty || !corrected) return;
    const target = Number(new URL(service.url).port);
    const look = async (start: Start) =>
      examine(service, await start(target), {
        databaseUrl: database.url,
        settings: { cookie: "session" },
      });
    const before = await look(faulty);
    expect(before).toContainEqual(
      expect.objectContaining({ check, fix: expect.stringContaining(advice) }),
    );
    expect(troublesIn(await look(corrected))).toEqual([]);
  });
});
