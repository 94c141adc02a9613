import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { RECIPIENT_HEADER } from "../../src/http/auth/identify.ts";
import { type ServiceProcess, startServiceProcess } from "../faults/support/service-process.ts";
import { administer, createDatabase, type TestDatabase } from "../support/database.ts";

/** A word in everything that is planted, and nowhere else. */
const CANARY = "canary";
const BASE = "/api/notifications";

/** A login for the service whose password contains the canary. */
async function createLogin(own: TestDatabase): Promise<string> {
  const role = `login_${randomBytes(6).toString("hex")}`;
  await own.query(
    `create role ${role} login password '${CANARY}-password' in role bellwire_service`,
  );
  onTestFinished(async () => {
    await own.close();
    await administer(`drop role ${role}`);
  });
  return own.url.replace(/\/\/(?:[^/@]*@)?/, `//${role}:${CANARY}-password@`);
}

/** A client that sends secrets in every place of a request, and keeps all responses that must not repeat them. */
function createStranger(service: ServiceProcess, token: string) {
  const heard: string[] = [];

  async function ask(path: string, init: RequestInit = {}) {
    const response = await fetch(service.url + BASE + path, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...init.headers },
    });
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
    const body = isStream ? "" : await response.text();
    if (isStream) await response.body?.cancel();
    // A recipient may read its own id and its own texts. A refusal must not quote the request.
    const answered = new Headers(response.headers);
    answered.delete(RECIPIENT_HEADER);
    const headers = JSON.stringify([...answered]);
    heard.push(response.status >= 400 ? `${headers} ${body}` : headers);
    return { status: response.status, body };
  }

  /** Sends malformed HTTP. */
  async function shout(bytes: string) {
    const socket = connect(service.port, "127.0.0.1");
    socket.on("data", (chunk) => heard.push(chunk.toString()));
    socket.on("error", () => {}); // "close" follows
    socket.write(bytes);
    await once(socket, "close");
  }

  const json = { "content-type": "application/json" };
  const anonymous = { authorization: "" };
  return {
    heard,
    ask,
    async sayEverything(ticket: string): Promise<void> {
      await ask(`/?type=${CANARY}-type`);
      await ask(`/?${CANARY}-key=${CANARY}-value`);
      await ask(`/poll?since=${CANARY}-cursor`);
      await ask(`/stream?lastEventId=${CANARY}-cursor`);
      await ask(`/stream?ticket=${ticket}`, { headers: anonymous });
      await ask(`/stream?ticket=${CANARY}-ticket`, { headers: anonymous });
      await ask(`/stream?access_token=${CANARY}-token`, { headers: anonymous });
      await ask("/unread-count", { headers: { cookie: `session=${token}`, ...anonymous } });
      await ask("/", { headers: { cookie: `session=${CANARY}-cookie`, ...anonymous } });
      await ask("/", { headers: { authorization: `Bearer ${token}${CANARY}-token` } });
      await ask("/", { headers: { authorization: `Bearer ${CANARY}-token` } });
      await ask("/", { headers: { origin: `https://x.example/${CANARY}`, ...anonymous } });
      await ask(`/${CANARY}-path/%E0%A4%A`);
      await ask("/1", { method: "PATCH", headers: json, body: `{"read": "${CANARY}-value"}` });
      await ask("/1", { method: "PATCH", headers: json, body: `{"${CANARY}-key": 1}` });
      await ask("/1", { method: "PATCH", headers: json, body: `{"${CANARY}-body": ` });
      await ask("/1", {
        method: "PATCH",
        headers: { "content-type": `${CANARY}/type` },
        body: "x",
      });
      await ask("/preferences", {
        method: "PUT",
        headers: json,
        body: `{"mutedTypes": ["${CANARY}-muted", 1]}`,
      });
      await ask("/mark-all-read", {
        method: "POST",
        headers: json,
        body: `{"type": "${CANARY}-type"}`,
      });
      await shout(`GET ${BASE}?${CANARY}=${CANARY} NOTHTTP\r\n\r\n`);
      await shout(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${CANARY.repeat(4000)}\r\n\r\n`);
      await shout(`GET / HTTP/1.1\r\nHost: x\r\n${CANARY} no colon\r\n\r\n`);
    },
  };
}

/** `/metrics` and `/status.json`. Of a request the second shows the path, where a client has put no secret. */
async function readMetricsPort({ metricsUrl }: ServiceProcess): Promise<string[]> {
  const texts = [metricsUrl, metricsUrl.replace("/metrics", "/status.json")].map(async (url) => {
    const response = await fetch(url);
    expect(response.status).toBe(200);
    return (await response.text()).replaceAll(`/${CANARY}-path`, "/path");
  });
  return Promise.all(texts);
}

test("the process never logs or returns a token, ticket, cookie, cursor, text or password, whatever fails", async () => {
  const own = await createDatabase();
  const databaseUrl = await createLogin(own);
  const service = await startServiceProcess({
    databaseUrl,
    env: { JWT_COOKIE: "session", SWEEP_MS: "50", LOG_LEVEL: "trace" },
  });
  await service.waitUntilReady();
  const recipient = `${CANARY}-recipient`;
  const token = await service.token(recipient);
  const stranger = createStranger(service, token);
  const buy = async () => {
    const { body } = await stranger.ask("/tickets", { method: "POST" });
    return (JSON.parse(body).ticket as string | undefined) ?? "none";
  };

  // Every role that may connect may listen, so payloads must reveal nothing.
  const payloads: (string | undefined)[] = [];
  const eavesdropper = await own.connect();
  eavesdropper.on("notification", ({ payload }) => payloads.push(payload));
  await eavesdropper.query("listen bellwire");

  const tell = () =>
    own.query(
      `select bellwire.notify($1, '${CANARY}-type', '${CANARY}-actor', '${CANARY}-title', '${CANARY}-body', '/${CANARY}-link',
                              '{"${CANARY}-key": "${CANARY}-data"}')`,
      [recipient],
    );
  await tell();
  // A rule that fails because of a text that a user wrote.
  await own.query(
    `select bellwire.define_rule('broken', 'public.messages', 'insert',
       $$ select m.recipient_id, 'x' as type, m.body::integer::text as title from new_rows m $$)`,
  );
  await own.query(
    `insert into messages (sender_id, recipient_id, body) values (1, 2, '${CANARY}-message')`,
  );

  const tickets = [await buy(), await buy(), await buy()] as const;
  await stranger.sayEverything(tickets[0]);
  const [{ id } = { id: "" }] = await own.query<{ id: string }>(
    "select id::text from bellwire.notifications where recipient_id = $1",
    [recipient],
  );
  await stranger.ask(`/${id}`, {
    method: "PATCH",
    headers: { "content-type": "application/json" },
    body: '{"seen": true}',
  });

  // PostgreSQL refuses a write, and quotes the row (`detail`) or a trigger's message about it.
  const archive = { method: "PATCH", headers: { "content-type": "application/json" } };
  await own.query(
    `create function public.object() returns trigger language plpgsql as $$
       begin raise exception 'not %', new.title; end $$;
     create trigger object before update of read_at on bellwire.notifications
       for each row execute function public.object();
     alter table bellwire.notifications add constraint only_open check (archived_at is null) not valid;
     alter table bellwire.tickets add constraint nobody check (recipient_id is null) not valid`,
  );
  expect((await stranger.ask(`/${id}`, { ...archive, body: '{"read": false}' })).status).toBe(500);
  expect((await stranger.ask(`/${id}`, { ...archive, body: '{"archived": true}' })).status).toBe(
    500,
  );
  expect((await stranger.ask("/tickets", { method: "POST" })).status).toBe(500);
  await own.query(
    `drop function public.object() cascade;
     alter table bellwire.notifications drop constraint only_open;
     alter table bellwire.tickets drop constraint nobody`,
  );

  // Its sessions are cut again and again.
  const cut =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bellwire' and datname = current_database()";
  for (let round = 0; round < 3; round++) {
    await own.query(cut);
    await Promise.all([stranger.sayEverything(tickets[1]), own.query(cut), tell()]);
  }
  // The schema is gone, so every query fails with a message of PostgreSQL.
  await own.query("alter table bellwire.notifications rename column title to headline");
  await stranger.sayEverything(tickets[2]);
  await own.query("alter table bellwire.notifications rename column headline to title");
  await own.query("select bellwire.revoke($1)", [recipient]);
  await stranger.sayEverything("none");
  const metrics = await readMetricsPort(service);

  // The whole database is gone.
  await administer(`drop database ${new URL(own.url).pathname.slice(1)} with (force)`);
  await expect.poll(async () => (await service.readiness()).status).toBe(503);
  await stranger.sayEverything("none");
  const metricsInOutage = await readMetricsPort(service);
  const { code } = await service.kill("SIGTERM");
  expect(code).toBe(0);

  expect(payloads.length).toBeGreaterThan(3);
  const written = service.written();
  // The failures have happened, so there was something to conceal.
  for (const phrase of [
    "request failed",
    "cannot answer",
    "cannot open a connection",
    "cannot read",
  ])
    expect(written).toContain(phrase);
  const [, claims = "", signature = ""] = token.split(".");
  const secrets = [CANARY, claims, signature, ...tickets, "a secret that is long enough"];
  const everything = [
    written,
    ...metrics,
    ...metricsInOutage,
    ...stranger.heard,
    ...payloads.map(String),
  ];
  for (const secret of secrets)
    expect(everything.filter((text) => text.includes(secret))).toEqual([]);
}, 60_000);

describe("a failed start says why, without a secret:", () => {
  test.each([
    ["an invalid address", `postgres://user:${CANARY}@[nowhere/x`],
    ["an invalid port", `postgres://user:${CANARY}@127.0.0.1:99999/x`],
  ])("%s", async (_, databaseUrl) => {
    const failing = startServiceProcess({ databaseUrl });
    const error: Error = await failing.then(
      () => {
        throw new Error("it started");
      },
      (err) => err,
    );
    expect(error.message).toMatch(/the service (ended at its start|does not answer)/);
    expect(error.message).not.toContain(CANARY);
  });
});
