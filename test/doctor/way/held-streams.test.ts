import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { handOver, passOn, startServer } from "../../browser/support/reverse-proxy.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openService, type Service, startService } from "../../support/service.ts";
import { examine, expectTrouble, QUICK, troublesIn } from "./support/examine.ts";

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

const isStream = ({ url = "" }: IncomingMessage) => url.includes("/stream");

/** A proxy that passes everything on, except for the bodies of streams. */
async function startProxy(
  onStream: (answer: IncomingMessage, res: ServerResponse) => void,
  { url } = service,
) {
  const { port } = await startServer((req, res) =>
    passOn(req, res, url, isStream(req) ? (answer) => onStream(answer, res) : undefined),
  );
  return `http://127.0.0.1:${port}`;
}

const startQuiet = (seconds: string) =>
  startService({
    databaseUrl: database.url,
    env: { HEARTBEAT_SECONDS: seconds, PING_SECONDS: seconds },
  });

/** Keeps the whole response, and hands it over at its end, as a virus scanner does. */
function keepUntilClose(answer: IncomingMessage, res: ServerResponse) {
  const chunks: Buffer[] = [];
  answer.on("data", (chunk) => chunks.push(chunk));
  answer.on("end", () => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    res.end(Buffer.concat(chunks));
  });
}

/** Passes on each chunk when the next one comes. */
function stayBehind(answer: IncomingMessage, res: ServerResponse) {
  let kept: Buffer | undefined;
  res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  answer.on("data", (chunk) => {
    if (kept) res.write(kept);
    kept = chunk;
  });
  answer.on("end", () => res.end(kept));
}

/** Passes bytes on, and calls the response's version 1.0, with a connection that ends it. */
async function startOldProxy(target: string): Promise<string> {
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(target).port), "127.0.0.1");
    client.pipe(upstream);
    upstream.once("data", (first) =>
      client.write(
        first
          .toString("latin1")
          .replace("HTTP/1.1", "HTTP/1.0")
          .replace(/Transfer-E.*\r\n/i, ""),
        "latin1",
        () => upstream.pipe(client),
      ),
    );
    for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each([
  { fault: "a proxy keeps a stream until it ends", hasRow: true },
  {
    fault: "a proxy keeps a stream until it ends, and there is no database to write to",
    hasRow: false,
  },
])("$fault", async ({ hasRow }) => {
  const url = await startProxy(keepUntilClose);
  const findings = await examine(service, url, hasRow ? { databaseUrl: database.url } : {});
  expect(troublesIn(findings)).toEqual([
    expect.stringMatching(/^broken buffering: something between .* holds the stream back/),
  ]);
});

test.each([
  {
    fault: "a proxy is one event behind",
    heartbeat: "30",
    hasRow: true,
    seen: /a row came only when the next one/,
  },
  // Heartbeats come after 4.8 s or more, and `ready` is waited for until then.
  {
    how: "without a database",
    heartbeat: "6",
    hasRow: false,
    seen: /ready came after [4-8]\.\d s/,
  },
])("$fault", async ({ heartbeat, hasRow, seen }) => {
  const quiet = await startQuiet(heartbeat);
  const url = await startProxy(stayBehind, quiet);
  const findings = await examine(quiet, url, hasRow ? { databaseUrl: database.url } : {});
  expect(expectTrouble(findings, "broken", "one_behind").seen).toMatch(seen);
});

test("a proxy passes each event on late", async () => {
  const url = await startProxy((answer, res) => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    answer.on("data", (chunk) => setTimeout(() => res.write(chunk), 700));
    answer.on("end", () => res.end());
  });
  const findings = await examine(service, url, { databaseUrl: database.url });
  expect(troublesIn(findings)).toEqual([
    expect.stringMatching(/^look delivery: a row came through \d+ ms after its commit; \/poll/),
  ]);
});

test("a proxy ends a stream after a time", async () => {
  const url = await startProxy((answer, res) => {
    handOver(answer, res);
    setTimeout(() => res.destroy(), 3500);
  });
  const findings = await examine(service, url, { watchMs: 8000 });
  const { seen } = expectTrouble(findings, "broken", "lifetime");
  expect(seen).toMatch(/ended the stream after 3\.\d s, [01]\.\d s after its last event/);
});

test("a proxy holds the first event back until the second", async () => {
  const url = await startProxy(
    (answer, res) => {
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      let first: Buffer | undefined;
      answer.once("data", (chunk) => {
        first = chunk;
        answer.on("data", (next) => {
          res.write(Buffer.concat([first ?? Buffer.of(), next]));
          first = undefined;
        });
      });
    },
    await startQuiet("30"),
  );
  const findings = await examine(service, url, { databaseUrl: database.url });
  expectTrouble(findings, "look", "ready");
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
  expect(expectTrouble(findings, "broken", "resume").seen).toMatch(/came \d times, among \d+ rows/);
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
  const url = await startProxy((answer, res) => handOver(answer, res));
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
