import { SignJWT } from "jose";
import { beforeAll, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/event-source.ts";
import { openService, type Service, startService } from "../../support/service.ts";

const SECRET = Buffer.from("a secret that is long enough for HS256");
const COUNT = "/api/notifications/unread-count";
const LEEWAY = 5;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  return database.close;
});

const withLeeway = (seconds: number) => ({
  databaseUrl: database.url,
  env: { JWT_LEEWAY_SECONDS: `${seconds}` },
});

let service: Service;
beforeAll(async () => {
  service = await openService(withLeeway(LEEWAY));
  return service.close;
});

/** A token for a recipient from a clock that is this many seconds ahead. */
function sign(sub: string, ahead: number, claims: object = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ sub, iat: now + ahead, exp: now + 3600, ...claims })
    .setProtectedHeader({ alg: "HS256" })
    .sign(SECRET);
}

async function ask(service: Service, token: string, path = COUNT, method = "GET") {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(service.url + path, { method, headers });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  const body: any = response.headers.get("content-type")?.includes("json")
    ? await response.json()
    : undefined;
  return { status: response.status, body };
}

const revoke = (recipient: string) => database.query("select bellwire.revoke($1)", [recipient]);

/** Makes a revocation this many seconds old. */
const age = (recipient: string, seconds: number, by: Pick<TestDatabase, "query"> = database) =>
  by.query(
    "update bellwire.revocations set revoked_at = clock_timestamp() - make_interval(secs => $2) where recipient_id = $1",
    [recipient, seconds],
  );

const lastReason = (service: Service) =>
  service
    .logged()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .findLast(({ reason }) => reason?.includes("iat"))?.reason;

test("a token issued ahead within the leeway is accepted; a revocation ends its stream and refuses it", async () => {
  const token = await sign("ahead", LEEWAY - 1);
  const stream = await openStream(service, "ahead", { token });
  await stream.waitFor(({ event }) => event === "ready");
  const { ticket } = (await ask(service, token, "/api/notifications/tickets", "POST")).body;
  await revoke("ahead");
  await stream.ended;
  expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
  expect((await ask(service, token)).status).toBe(401);
  const byTicket = await fetch(`${service.url}/api/notifications/stream?ticket=${ticket}`);
  expect(byTicket.status).toBe(401);
});

test("a token issued further ahead is refused everywhere; the log says why, the response does not", async () => {
  const own = await startService(withLeeway(LEEWAY));
  for (const claims of [{}, { nbf: Math.floor(Date.now() / 1000) + 60 }]) {
    const token = await sign("far", claims.nbf ? 0 : LEEWAY + 10, claims);
    for (const path of [COUNT, "/api/notifications/stream", "/api/notifications/poll"]) {
      const { status, body } = await ask(own, token, path);
      expect({ status, detail: body.detail }).toEqual({
        status: 401,
        detail: "The token is not valid, or is no longer valid.",
      });
    }
  }
  expect(lastReason(own)).toMatch(/further ahead of our clock than JWT_LEEWAY_SECONDS/);
});

test("the leeway does not apply to an expired token", async () => {
  const ended = await sign("ended", -60, { exp: Math.floor(Date.now() / 1000) - 1 });
  expect((await ask(service, ended)).status).toBe(401);
});

test("after a revocation every token issued within the leeway is refused, and a later one is accepted", async () => {
  await revoke("back");
  for (const ahead of [-3600, -1, 0, LEEWAY - 1])
    expect((await ask(service, await sign("back", ahead))).status).toBe(401);
  await age("back", LEEWAY + 2);
  expect((await ask(service, await sign("back", -3))).status).toBe(401);
  expect((await ask(service, await sign("back", 0))).status).toBe(200);
});

test("a stream with a newer token stays open, although its replay begins before a revocation", async () => {
  const { cursor } = (await ask(service, await sign("new", 0), "/api/notifications")).body;
  await revoke("new");
  await age("new", LEEWAY + 2);
  await database.query("select bellwire.notify('new', 'note')");
  const token = await sign("new", 0);
  const stream = await openStream(service, "new", { token, lastEventId: cursor });
  await stream.take(1);
  await database.query("select bellwire.notify('new', 'note')");
  await stream.take(1);
  // Another revocation ends it.
  await revoke("new");
  await stream.ended;
  expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
});

test("a revocation ends every open stream, however late it commits and whatever the token says", async () => {
  const own = await startService(withLeeway(0));
  const slow = await database.connect();
  await slow.query("begin");
  await slow.query("select bellwire.revoke('late')");
  // So the token is issued after the revocation, which has not committed yet.
  await age("late", 2, slow);
  const token = await sign("late", 0);
  const stream = await openStream(own, "late", { token });
  await stream.waitFor(({ event }) => event === "ready");
  await slow.query("commit");
  await stream.ended;
  expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
  expect((await ask(own, token)).status).toBe(200);
});
