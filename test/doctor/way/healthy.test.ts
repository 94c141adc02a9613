import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { hasNginx, startNginx } from "../../support/nginx.ts";
import { openService, type Service, startService } from "../../support/service.ts";
import { examine, QUICK, troublesIn } from "./support/examine.ts";

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

test("directly, all is well: with a row, and with pings alone", async () => {
  const [withRow, withPings] = await Promise.all([
    examine(service, service.url, { databaseUrl: database.url }),
    examine(service, `${service.url}/api/notifications/`),
  ]);
  expect(troublesIn(withRow)).toEqual([]);
  expect(troublesIn(withPings)).toEqual([]);
  expect(withRow.map(({ check }) => check)).toEqual(expect.arrayContaining(["resume", "delivery"]));
  expect(await database.query("select 1 from bellwire.notifications")).toEqual([]);
});

test.skipIf(!hasNginx)(
  "behind nginx with its file of deploy/, all is well, also for pages of an allowed origin",
  async () => {
    const origin = "https://shop.example";
    const own = await startService({
      databaseUrl: database.url,
      env: { ...QUICK, TRUST_PROXY: "1", JWT_COOKIE: "session", ALLOWED_ORIGINS: origin },
    });
    const { url } = await startNginx({
      http: `upstream bellwire { server ${new URL(own.url).host}; keepalive 64; }`,
      locations: readFileSync("deploy/nginx/bellwire.conf", "utf8"),
    });
    const findings = await Promise.all([
      examine(own, url, { databaseUrl: database.url }),
      examine(own, url, { origin }),
    ]);
    expect(findings.map(troublesIn)).toEqual([[], []]);
  },
);
