import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream, REFUSAL } from "../../support/event-source.ts";
import { call, openService, type Service, startService } from "../../support/service.ts";

const isReady = ({ event }: { event: string }) => event === "ready";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

/** A service of its own, for one test. */
const start = (env: Record<string, string> = {}) =>
  startService({ databaseUrl: database.url, env });

async function buy(service: Service, recipientId: string, token?: string): Promise<string> {
  const response = await fetch(`${service.url}/api/notifications/tickets`, {
    method: "POST",
    headers: { authorization: `Bearer ${token ?? (await service.token(recipientId))}` },
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { ticket: string }).ticket;
}

/** Opens a stream with nothing but a ticket. */
async function knock({ url }: Service, ticket: string, headers: Record<string, string> = {}) {
  const abort = new AbortController();
  const response = await fetch(
    `${url}/api/notifications/stream?ticket=${encodeURIComponent(ticket)}`,
    { headers, signal: abort.signal },
  );
  const body = response.status === 200 ? undefined : ((await response.json()) as { code: string });
  abort.abort();
  return { status: response.status, code: body?.code };
}

const REFUSED = { status: 401, code: "token_invalid" };

describe("a ticket", () => {
  let service: Service;
  beforeAll(async () => {
    service = await openService({ databaseUrl: database.url });
    return service.close;
  });

  test("has 256 random bits, is valid for 30 seconds, and is stored as a digest only", async () => {
    const { status, body } = await call(service, "1", "/tickets", { method: "POST" });
    expect(status).toBe(200);
    expect(Buffer.from(body.ticket, "base64url")).toHaveLength(32);
    const seconds = (Date.parse(body.expiresAt) - Date.now()) / 1000;
    expect(seconds).toBeGreaterThan(25);
    expect(seconds).toBeLessThanOrEqual(30);
    const rows = await database.query("select * from bellwire.tickets where recipient_id = '1'");
    expect(rows).toEqual([
      expect.objectContaining({ digest: createHash("sha256").update(body.ticket).digest() }),
    ]);
    expect(JSON.stringify(rows)).not.toContain(body.ticket);
  });

  test("opens its recipient's stream, and resumes where the URL says", async () => {
    const { cursor } = (await call(service, "2", "/")).body;
    await database.query("select bellwire.notify('2', 'note', title => 'missed')");
    const ticket = await buy(service, "2");
    const response = await fetch(
      `${service.url}/api/notifications/stream?ticket=${ticket}&lastEventId=${cursor}`,
    );
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString();
      if (text.includes("missed")) break;
    }
    expect(text).toMatch(/^retry: \d+\nevent: ready\n/);
    expect(text).toContain('"title":"missed"');
  });

  test("can be used once, on any instance", async () => {
    const another = await start();
    const ticket = await buy(service, "3");
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => knock(i % 2 ? another : service, ticket)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status !== 200)).toEqual(Array(9).fill(REFUSED));
    // The same after a restart, because the database has deleted it.
    expect(await knock(await start(), ticket)).toEqual(REFUSED);
  });

  test("may be redeemed after a restart", async () => {
    const own = await start();
    const ticket = await buy(own, "3");
    await own.close();
    expect((await knock(await start(), ticket)).status).toBe(200);
  });

  test("is refused after it has expired", async () => {
    const ticket = await buy(service, "4");
    await database.query(
      "update bellwire.tickets set expires_at = clock_timestamp() where recipient_id = '4'",
    );
    expect(await knock(service, ticket)).toEqual(REFUSED);
  });

  test("is refused if its recipient was revoked meanwhile", async () => {
    const ticket = await buy(service, "5");
    await database.query("select bellwire.revoke('5')");
    expect(await knock(service, ticket)).toEqual(REFUSED);
  });

  test("expires with the token that it was issued for, and so does its stream", async () => {
    const token = await service.token("6", 5);
    const response = await fetch(`${service.url}/api/notifications/tickets`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
    const { ticket, expiresAt } = (await response.json()) as { ticket: string; expiresAt: string };
    const [, claims = ""] = token.split(".");
    const { exp } = JSON.parse(Buffer.from(claims, "base64url").toString());
    expect(Date.parse(expiresAt)).toBe(exp * 1000);
    const stream = await fetch(`${service.url}/api/notifications/stream?ticket=${ticket}`);
    // To its end.
    expect(await stream.text()).toMatch(/event: auth\ndata: {"reason":"expired"}\n\n$/);
  });

  test.each([
    ["empty", ""],
    ["short", "abc"],
    ["unknown", "A".repeat(43)],
    ["too long", "A".repeat(5000)],
    ["not base64url", `${"A".repeat(42)}!`],
    ["SQL", "' or true --"],
    ["with a NUL", `${"A".repeat(42)}\0`],
  ])("that is %s is refused", async (_, ticket) => {
    expect(await knock(service, ticket)).toEqual(REFUSED);
  });

  test("that occurs twice in one URL is refused", async () => {
    const ticket = await buy(service, "7");
    expect(await knock(service, `${ticket}&ticket=${ticket}`)).toEqual(REFUSED);
    const twice = await fetch(
      `${service.url}/api/notifications/stream?ticket=${ticket}&ticket=${ticket}`,
    );
    expect(twice.status).toBe(401);
  });

  test("is ignored beside a bearer token, and comes before a cookie", async () => {
    const own = await start({ JWT_COOKIE: "session" });
    const ticket = await buy(own, "8");
    const authorization = `Bearer ${await own.token("9")}`;
    expect((await knock(own, ticket, { authorization })).status).toBe(200);
    expect((await knock(own, ticket, { authorization: "Bearer x" })).code).toBe("token_invalid");
    await database.query("select bellwire.notify('8', 'note'), bellwire.notify('8', 'note')");
    const cookie = `session=${await own.token("9")}`;
    const response = await fetch(`${own.url}/api/notifications/stream?ticket=${ticket}`, {
      headers: { cookie },
    });
    const reader = response.body?.getReader();
    let text = "";
    while (!text.includes("event: ready")) text += Buffer.from((await reader?.read())?.value ?? []);
    expect(text).toContain('"unread":2');
    await reader?.cancel();
  });

  test("opens only a stream", async () => {
    const ticket = await buy(service, "10");
    for (const path of ["", "/poll", "/unread-count"]) {
      const response = await fetch(`${service.url}/api/notifications${path}?ticket=${ticket}`);
      expect(((await response.json()) as { code: string }).code).toBe("token_missing");
    }
    expect((await knock(service, ticket)).status).toBe(200);
  });
});

test("a ticket stays unused if the service cannot stream for now", async () => {
  // The clock stands still, so all requests fall into one second: the first is let in, and the next one is not. It is faked before the
  // start, and while the service of the tests above is closed, because the fake clock begins at 0, and a service must not see its clock go
  // back.
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const service = await start({ MAX_NEW_STREAMS_PER_SECOND: "1" });
  const ticket = await buy(service, "11");
  const first = await openStream(service, "12");
  await first.waitFor(isReady);
  const open = () => fetch(`${service.url}/api/notifications/stream?ticket=${ticket}`);
  expect(await (await open()).text()).toMatch(REFUSAL);
  vi.advanceTimersByTime(1000);
  const reader = (await open()).body?.getReader();
  let text = "";
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    text += Buffer.from(value ?? []);
    if (done || text.includes("event: ready")) break;
  }
  expect(text).toContain("event: ready");
  await reader?.cancel();
});

test("expired tickets are deleted, ten at a time", async () => {
  const service = await start();
  await database.query("delete from bellwire.tickets");
  await database.query(
    `insert into bellwire.tickets
     select sha256(n::text::bytea), 'old', now(), now(), now() - interval '1 second' from generate_series(1, 25) n`,
  );
  const left: number[] = [];
  for (let i = 0; i < 4; i++) {
    await buy(service, "13");
    const [row] = await database.query<{ count: number }>(
      "select count(*)::integer from bellwire.tickets where recipient_id = 'old'",
    );
    left.push(row?.count ?? -1);
  }
  expect(left).toEqual([15, 5, 0, 0]);
});
