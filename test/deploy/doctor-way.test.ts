import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { passOn, startServer } from "../browser/support/reverse-proxy.ts";
import { examine, expectTrouble, troublesIn } from "../doctor/way/support/examine.ts";
import { findPort } from "../faults/support/ports.ts";
import {
  apache,
  caddy,
  haproxy,
  lighttpd,
  type Program,
  starter,
  varnish,
} from "../faults/support/proxies.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openService, type Service } from "../support/service.ts";
import { createCertificate } from "./support/certificate.ts";
import { runDoctor } from "./support/run-doctor.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  const port = await findPort();
  // A ping may push a row out of a buffer.
  const env = { HEARTBEAT_SECONDS: "3", PING_SECONDS: "3", TRUST_PROXY: "1" };
  service = await openService({ databaseUrl: database.url, port, env });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

const portOf = (url: string) => Number(new URL(url).port);

/** Starts it before the service, and examines the way through it. */
async function examineBehind(program: Program, target = portOf(service.url)) {
  const start = starter(program);
  if (!start) throw new Error(`${program.path} is missing`);
  return examine(service, await start(target), { databaseUrl: database.url });
}

const isMissing = ({ path }: Program) => !existsSync(path);

/** It removes what spares streams from `encode`. */
const caddyThatCompresses: Program = {
  ...caddy(),
  config: (port, _, target) =>
    `{\n  admin off\n}\nhttp://:${port} {\n  bind 127.0.0.1\n  encode {\n    gzip\n    minimum_length 1\n  }\n  reverse_proxy 127.0.0.1:${target} {\n    header_down -Content-Encoding\n  }\n}\n`,
};

/** A cache that looks neither at Authorization nor, because it is gone, at Cache-Control. */
const SHARING = `
sub vcl_recv { if (req.url ~ "/stream") { return (hash); } return (pass); }
sub vcl_backend_response {
  if (bereq.url ~ "/stream") { unset beresp.http.Cache-Control; set beresp.ttl = 60s; return (deliver); }
}`;

const privoxy: Program = {
  path: "/usr/sbin/privoxy",
  // As a company's filter: all requests come to it, and it asks a proxy beyond.
  config: (port, folder, target) => `confdir /etc/privoxy
logdir ${folder}
actionsfile match-all.action
actionsfile default.action
filterfile default.filter
listen-address 127.0.0.1:${port}
accept-intercepted-requests 1
forward / 127.0.0.1:${target}
`,
  args: (file) => ["--no-daemon", file],
};

interface Fault {
  fault: string;
  program: Program;
  level?: "look" | "broken";
  check: string;
  seen: RegExp;
  fix: RegExp;
}

describe("doctor names it if", () => {
  test.each<Fault>([
    {
      fault: "HAProxy delays each chunk",
      program: haproxy("option forwardfor"),
      level: "look",
      check: "chunks",
      seen: /^HAProxy delays each event by 2\d\d ms for clients other than browsers/,
      fix: /option http-no-delay/,
    },
    {
      fault: "Varnish hands one stream to two readers",
      program: varnish(SHARING),
      check: "shared_stream",
      seen: /^Varnish hands one stream of the service to two readers/,
      fix: /return \(pass\)/,
    },
    {
      fault: "lighttpd holds a stream back",
      program: lighttpd(false),
      check: "buffering",
      seen: /^lighttpd holds the stream back/,
      fix: /server\.stream-response-body = 1/,
    },
    {
      fault: "Caddy compresses a stream and holds it back",
      program: caddyThatCompresses,
      check: "buffering",
      seen: /^Caddy holds the stream back/,
      fix: /encode/,
    },
    {
      fault: "Apache compresses a stream",
      program: apache("SetOutputFilter DEFLATE"),
      level: "look",
      check: "compression",
      seen: /^Apache compresses the stream/,
      fix: /no-gzip=1/,
    },
  ])("$fault", async ({ program, level = "broken", check, seen, fix }) => {
    if (isMissing(program)) return;
    const findings = await examineBehind(program);
    const found = expectTrouble(findings, level, check);
    expect(found.seen).toMatch(seen);
    expect(found.fix).toMatch(fix);
  });

  test.skipIf(isMissing(privoxy))("Privoxy holds a stream back", async () => {
    // Privoxy asks with whole URLs.
    const { port } = await startServer((req, res) => {
      req.url = (req.url ?? "").replace(/^http:\/\/[^/]+/, "");
      passOn(req, res, service.url);
    });
    const findings = await examineBehind(privoxy, port);
    expectTrouble(findings, "broken", "buffering");
  });
});

describe("over TLS", () => {
  /** A TLS proxy with a certificate of its own, and the command, which trusts it or not. */
  async function examineOverTls({
    protocols = ["http/1.1"],
    isTrusted = true,
    isExpired = false,
  } = {}) {
    const folder = await mkdtemp(join(tmpdir(), "bellwire-tls-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const cert = await createCertificate(folder, { isExpired });
    const key = await readFile(join(folder, "privkey.pem"));
    const server = createTlsServer({ cert, key, ALPNProtocols: protocols }, (req, res) =>
      passOn(req, res, service.url),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close().closeAllConnections());
    const { port } = server.address() as AddressInfo;
    const env = isTrusted ? { NODE_EXTRA_CA_CERTS: join(folder, "fullchain.pem") } : {};
    return runDoctor(service, `https://localhost:${port}`, { env });
  }

  test("the certificate is self-signed", async () => {
    const findings = await examineOverTls({ isTrusted: false });
    const { seen, fix } = expectTrouble(findings, "broken", "tls");
    expect(seen).toMatch(/^the certificate of localhost:\d+ is self-signed/);
    expect(fix).toMatch(/NODE_EXTRA_CA_CERTS/);
    expect(findings).toHaveLength(1);
  });

  test("the certificate has expired", async () => {
    const findings = await examineOverTls({ isExpired: true });
    const { seen, fix } = expectTrouble(findings, "broken", "tls");
    expect(seen).toMatch(/^the certificate of localhost:\d+ has expired/);
    expect(fix).toMatch(/certbot renew/);
    expect(findings).toHaveLength(1);
  });

  test("the site speaks only HTTP/1.1", async () => {
    const findings = await examineOverTls();
    expect(expectTrouble(findings, "look", "http_version").seen).toMatch(/only HTTP\/1\.1/);
  });
});

test.each([
  { name: "Caddy", program: caddy() },
  { name: "HAProxy", program: haproxy("option forwardfor\n  option http-no-delay") },
  { name: "Apache", program: apache() },
  { name: "lighttpd", program: lighttpd(true) },
  { name: "Varnish", program: varnish() },
])("behind $name, all is well", async ({ program }) => {
  if (isMissing(program)) return;
  expect(troublesIn(await examineBehind(program))).toEqual([]);
});
