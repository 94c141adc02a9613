import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { handOver, passOn, startServer } from "../../browser/support/reverse-proxy.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { hasNginx, startNginx } from "../../support/nginx.ts";
import { openService, type Service, startService } from "../../support/service.ts";
import { examine, expectTrouble, QUICK, troublesIn } from "./support/examine.ts";
import { isStream, startOldProxy, startProxy } from "./support/proxies.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({ databaseUrl: database.url, env: QUICK });
});
afterAll(async () => {
  await service.close();
  await database.close();
});

const startQuiet = (seconds: string) =>
  startService({
    databaseUrl: database.url,
    env: { HEARTBEAT_SECONDS: seconds, PING_SECONDS: seconds },
  });

test("a proxy ends a stream after a time", async () => {
  const url = await startProxy(service, (answer, res) => {
    handOver(answer, res);
    setTimeout(() => res.destroy(), 3500);
  });
  const findings = await examine(service, url, { watchMs: 8000 });
  const { seen } = expectTrouble(findings, "broken", "lifetime");
  expect(seen).toMatch(/ended the stream after \d\.\d s, \d\.\d s after its last event/);
});

test.skipIf(!hasNginx)("nginx ends a stream that is quiet", async () => {
  const quiet = await startQuiet("20");
  const locations = `location / { proxy_pass ${quiet.url}; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_read_timeout 2s; }`;
  const { url } = await startNginx({ locations });
  const findings = await examine(quiet, url, { watchMs: 60_000 });
  const { seen, fix } = expectTrouble(findings, "broken", "lifetime");
  expect(seen).toMatch(/^nginx ended the stream after \d\.\d s, [12]\.\d s after its last event$/);
  expect(fix).toContain("proxy_read_timeout 60s;");
});

test("a cache sends again what an earlier stream had", async () => {
  const kept: Buffer[] = [];
  const { port } = await startServer((req, res) =>
    passOn(req, res, service.url, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      if (isStream(req) && req.headers["last-event-id"]?.length) res.write(Buffer.concat(kept));
      answer.on("data", (chunk) => {
        if (isStream(req) && chunk.includes("event: notification")) kept.push(chunk);
        res.write(chunk);
      });
      answer.on("end", () => res.end());
    }),
  );
  const url = `http://127.0.0.1:${port}`;
  const findings = await examine(service, url, { databaseUrl: database.url });
  expect(expectTrouble(findings, "broken", "resume").seen).toMatch(
    /: the row of the meantime came \d times, and \d+ rows from before the cut came again$/,
  );
});

test("heartbeats are rarer than proxies wait", async () => {
  const quiet = await startQuiet("60");
  const findings = await examine(quiet, quiet.url);
  expect(expectTrouble(findings, "look", "heartbeat").seen).toBe("HEARTBEAT_SECONDS is 60");
});

test("the service reads another database", async () => {
  const other = await createDatabase();
  onTestFinished(other.close);
  const findings = await examine(service, service.url, { databaseUrl: other.url });
  expect(expectTrouble(findings, "broken", "delivery").seen).toMatch(/neither on the stream nor/);
});

test("a quiet stream that lives is well", async () => {
  const findings = await examine(service, service.url, { watchMs: 4000 });
  expect(findings).toContainEqual(
    expect.objectContaining({ check: "lifetime", seen: "a quiet stream was open for 4.0 s" }),
  );
  expect(troublesIn(findings)).toEqual([]);
});

test("a proxy answers in HTTP/1.0", async () => {
  const url = await startProxy(service, (answer, res) => handOver(answer, res));
  const findings = await examine(service, await startOldProxy(url));
  expectTrouble(findings, "look", "http_version");
});

test("the clock behind the URL is wrong", async () => {
  const { port } = await startServer((req, res) =>
    passOn(req, res, service.url, (answer) => {
      answer.headers.date = new Date(Date.now() - 90_000).toUTCString();
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    }),
  );
  const findings = await examine(service, `http://127.0.0.1:${port}`);
  expect(expectTrouble(findings, "look", "way_clock").seen).toMatch(
    /^the clock behind the URL is (89|90|91) s behind this machine's/,
  );
});
