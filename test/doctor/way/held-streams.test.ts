import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openService, type Service, startService } from "../../support/service.ts";
import { examine, expectTrouble, QUICK, troublesIn } from "./support/examine.ts";
import { startProxy } from "./support/proxies.ts";

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

test.each([
  { fault: "a proxy keeps a stream until it ends", hasRow: true },
  {
    fault: "a proxy keeps a stream until it ends, and there is no database to write to",
    hasRow: false,
  },
])("$fault", async ({ hasRow }) => {
  const url = await startProxy(service, keepUntilClose);
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
    fault: "a proxy is one event behind, and there is no database to write to",
    heartbeat: "6",
    hasRow: false,
    seen: /ready came after [4-8]\.\d s/,
  },
])("$fault", async ({ heartbeat, hasRow, seen }) => {
  const quiet = await startQuiet(heartbeat);
  const url = await startProxy(quiet, stayBehind);
  const findings = await examine(quiet, url, hasRow ? { databaseUrl: database.url } : {});
  expect(expectTrouble(findings, "broken", "one_behind").seen).toMatch(seen);
});

test("a proxy passes each event on late", async () => {
  const url = await startProxy(service, (answer, res) => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    answer.on("data", (chunk) => setTimeout(() => res.write(chunk), 700));
    answer.on("end", () => res.end());
  });
  const findings = await examine(service, url, { databaseUrl: database.url });
  expect(troublesIn(findings)).toEqual([
    expect.stringMatching(/^look delivery: a row came through \d+ ms after its commit; \/poll/),
  ]);
});

test("a proxy holds the first event back until the second", async () => {
  const url = await startProxy(await startQuiet("30"), (answer, res) => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    answer.once("data", (first) => {
      answer.once("data", () => res.write(first));
      answer.on("data", (next) => res.write(next));
    });
  });
  const findings = await examine(service, url, { databaseUrl: database.url });
  expectTrouble(findings, "look", "ready");
});
