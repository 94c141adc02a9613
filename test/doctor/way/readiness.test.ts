import { beforeAll, describe, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/event-source.ts";
import { startService } from "../../support/service.ts";
import { examine, expectTrouble, QUICK, troublesIn } from "./support/examine.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

describe("without its database,", () => {
  test.each([
    { fault: "the service is not ready", check: "readyz", seen: /says that it is not ready/ },
    { fault: "the database of the service is away", check: "refused", seen: /503 unavailable/ },
  ])("$fault", async ({ check, seen }) => {
    const own = await createDatabase();
    const cut = await startService({ databaseUrl: own.url, env: QUICK });
    await own.close();
    await expect.poll(async () => (await fetch(`${cut.url}/readyz`)).status).toBe(503);
    const findings = await examine(cut, cut.url);
    expect(expectTrouble(findings, "broken", check).seen).toMatch(seen);
  });
});

test("the service is draining", async () => {
  const drained = await startService({
    databaseUrl: database.url,
    env: { ...QUICK, DRAIN_SECONDS: "300", MAX_STREAMS_PER_RECIPIENT: "100" },
  });
  // 0.3 s each.
  for (let i = 0; i < 20; i++) await openStream(drained, "a page");
  const closed = drained.close();
  const findings = await examine(drained, drained.url);
  const { seen, fix } = expectTrouble(findings, "broken", "reach");
  expect(seen).toMatch(/^nothing listens at /);
  expect(fix).toMatch(/^If it restarts just now, run doctor again\./);
  await closed;
});

test("the service warns", async () => {
  await database.query("alter table public.messages disable trigger rule_message_received");
  const own = await startService({ databaseUrl: database.url, env: QUICK });
  await expect.poll(async () => (await fetch(`${own.url}/readyz`)).text()).toContain("is disabled");
  expect(troublesIn(await examine(own, own.url))).toEqual([
    "look readyz: the service warns: rule message_received: its trigger on public.messages is disabled",
  ]);
});

test("the service has as many streams as it may have", async () => {
  const full = await startService({
    databaseUrl: database.url,
    env: { ...QUICK, MAX_STREAMS: "1" },
  });
  const stream = await openStream(full, "a page");
  await stream.waitFor(({ event }) => event === "ready");
  const { seen, why } = expectTrouble(await examine(full, full.url), "broken", "refused");
  expect(seen).toMatch(/^the service refuses streams for now: one ping, and "retry" in \d+ ms$/);
  expect(why).toContain("MAX_STREAMS");
});
