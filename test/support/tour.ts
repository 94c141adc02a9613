import { randomBytes } from "node:crypto";
import pg from "pg";
import { expect, onTestFinished } from "vitest";
import { retryConflicts } from "../../src/db/retry.ts";
import { openStream } from "./event-source.ts";
import { call, type Reachable } from "./service.ts";

/** Values that differ each time: a current time, a cursor, an id, a ticket. */
const plain = (value: unknown) =>
  JSON.stringify(value)
    .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, (time) =>
      Math.abs(Date.parse(time.slice(1, -1)) - Date.now()) < 120_000 ? "now" : time,
    )
    .replaceAll(/"v1\.[^"]+_"/g, "cursor")
    .replaceAll(/"(id|ticket)":"[^"]+"/g, '"$1"')
    .replaceAll(/"ids?":\["\d+"\]/g, "ids");

/** Every request that a client can send, and every response. `url` is the application's connection, with the settings under test. */
export async function tour(url: string, service: Reachable): Promise<string[]> {
  const application = new pg.Client(url);
  await application.connect();
  onTestFinished(() => application.end());
  application.on("error", () => {}); // its database is dropped while it is connected
  const query = (sql: string, values?: unknown[]) =>
    retryConflicts(() => application.query(sql, values)); // needed if serializable is the default
  const me = randomBytes(4).toString("hex");
  const said: string[] = [];
  const ask = async (path: string, method?: string, body?: unknown) => {
    const answer = await call(service, me, path, { ...(method && { method }), body });
    said.push(`${method ?? "GET"} ${answer.status} ${plain(answer.body).replaceAll(me, "me")}`);
    return answer.body;
  };
  const notify = (title: string) =>
    query(
      `select bellwire.notify($1, 'test', title => $2, data => '{"at": "\u00e4", "n": 1e400, "f": 1.10}')`,
      [me, title],
    );
  const { cursor } = await ask("");
  const stream = await openStream(service, me);
  await stream.waitFor(({ event }) => event === "ready");
  await notify("first \\ 'quoted'");
  await notify("second");
  await stream.take(2);
  const resumed = await openStream(service, me, { lastEventId: stream.events[1]?.id ?? "" });
  await resumed.take(1);
  // A read that finds a row and its marks together returns only the marked row.
  const allMarked = () =>
    Promise.all(
      [stream, resumed].map(({ events, waitFor }) => {
        const last = events.findLastIndex(({ event }) => event === "notification");
        return waitFor(
          (state) =>
            state.event === "state" && state.data.unread === 0 && events.indexOf(state) > last,
        );
      }),
    );
  const list = await ask("");
  const [second, first] = list.notifications;
  await ask(`/poll?since=${cursor}`);
  await ask(`/${first.id}`, "PATCH", { read: true });
  await resumed.waitFor(({ event }) => event === "state");
  await ask(`/${second.id}`, "PATCH", { archived: true });
  await allMarked();
  await ask("?filter=archived&type=test");
  await ask("/unread-count");
  await notify("third");
  await Promise.all([stream.take(1), resumed.take(1)]);
  await ask("/mark-all-seen", "POST", {});
  await ask("/mark-all-read", "POST", {});
  await allMarked();
  await ask("?filter=unread");
  await ask("/preferences", "PUT", { mutedTypes: ["a\\b", "NULL", "{}", ""].filter(Boolean) });
  await ask("/preferences");
  const { ticket } = await ask("/tickets", "POST", {});
  const byTicket = await fetch(`${service.url}/api/notifications/stream?ticket=${ticket}`);
  said.push(`ticket ${byTicket.status}`);
  await byTicket.body?.cancel();
  said.push(`readyz ${(await fetch(`${service.url}/readyz`)).status}`);
  await notify("last");
  await Promise.all([stream.take(1), resumed.take(1)]);
  await tourRules(query, me);
  await ask("?limit=2");
  await query("select bellwire.revoke($1)", [me]);
  await Promise.all([stream.ended, resumed.ended]);
  // Chance decides whether one read returns two changes or two reads do.
  for (const { events } of [stream, resumed]) {
    const names = events.map(({ event }) => event).filter((event) => event !== "ping");
    said.push(...names.filter((event, i) => event !== names[i - 1]));
  }
  return said;
}

/** Rules: one that notifies, one with dedupe keys, one that fails, and one that define_rule refuses. */
async function tourRules(
  query: (sql: string, values?: unknown[]) => Promise<pg.QueryResult>,
  me: string,
): Promise<void> {
  await query("create table public.things (owner_id text, n int)");
  await query("create function public.writes() returns text volatile begin atomic select 'x'; end");
  const define = (name: string, type: string) =>
    query(`
      select bellwire.define_rule('${name}', 'public.things', 'insert or update', $$
        select n.owner_id as recipient_id, ${type} as type, 'k' || n.n as dedupe_key,
               jsonb_build_object('n', n.n, 'even', n.n = 2, 'old', o.n) as data
          from new_rows n
          left join old_rows o on false
         where 6 / n.n > 0
      $$)`);
  await define("told", "'thing'");
  await expect(define("writes", "public.writes()")).rejects.toThrow("volatile");
  for (const n of [2, 2, 1, 0]) await query("insert into public.things values ($1, $2)", [me, n]);
  const errors = await query("select rule, sqlstate, message, errors from bellwire.rule_errors");
  expect(errors.rows).toEqual([
    { rule: "told", sqlstate: "22012", message: "division by zero", errors: "1" },
  ]);
}
