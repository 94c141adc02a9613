import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { sameId } from "../../src/http/auth/recipient-id.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { call, startService } from "../support/service.ts";

const LOWER = "0b7c6a1e-5d3f-4a2b-9c8d-1e2f3a4b5c6d";
const UPPER = LOWER.toUpperCase();
const MIXED = `${LOWER.slice(0, 18)}${UPPER.slice(18)}`;

const IDS: [id: string, kept: string][] = [
  [LOWER, LOWER],
  [UPPER, LOWER],
  [MIXED, LOWER],
  ["FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
  // None of these is a UUID.
  [`{${UPPER}}`, `{${UPPER}}`],
  [`urn:uuid:${UPPER}`, `urn:uuid:${UPPER}`],
  [UPPER.replaceAll("-", ""), UPPER.replaceAll("-", "")],
  [`${UPPER}\n`, `${UPPER}\n`],
  [` ${UPPER}`, ` ${UPPER}`],
  [UPPER.replace("A", "G"), UPPER.replace("A", "G")],
  ["Ann", "Ann"],
  ["42", "42"],
  ["", ""],
  ["İ".repeat(18), "İ".repeat(18)],
];

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase(server);
    await database.query("create table public.orders (owner text, by text, note text)");
    await database.query(`
      select bellwire.define_rule('ordered', 'public.orders', 'insert', $$
        select owner as recipient_id, by as actor_id, 'order' as type, note as title, note as dedupe_key from new_rows
      $$)`);
  });
  afterAll(() => database.close());

  test.each(IDS)("%j is kept as %j, by the service and by the database", async (id, kept) => {
    expect(sameId(id)).toBe(kept);
    const [row] = await database.query<{ id: string }>("select bellwire.same_id($1) as id", [id]);
    expect(row?.id).toBe(kept);
  });

  test("a UUID is one recipient in any notation: in a rule, notify(), revoke(), preferences and a token", async () => {
    const service = await startService({
      databaseUrl: database.url,
      env: { JWT_LEEWAY_SECONDS: "0" },
    });
    const stream = await openStream(service, UPPER);
    await stream.waitFor(({ event }) => event === "ready");
    await database.query("select bellwire.notify($1, 'note')", [MIXED]);
    await database.query("insert into public.orders values ($1, null, 'a')", [UPPER]);
    // The first was told already; the second is the actor itself.
    await database.query("insert into public.orders values ($1, null, 'a'), ($1, $2, 'b')", [
      LOWER,
      MIXED,
    ]);
    await database.query("select bellwire.notify($1, 'note', actor_id => $2)", [UPPER, LOWER]);
    expect((await stream.take(2)).map(({ data }) => data.type)).toEqual(["note", "order"]);
    for (const id of [UPPER, LOWER, MIXED])
      expect((await call(service, id, "/unread-count")).body.count).toBe(2);

    await call(service, UPPER, "/preferences", { method: "PUT", body: { mutedTypes: ["order"] } });
    await database.query("insert into public.orders values ($1, null, 'c')", [MIXED]);
    await database.query("select bellwire.mute_types($1, '{}')", [MIXED]);
    expect((await call(service, LOWER, "/preferences")).body).toEqual({ mutedTypes: [] });
    expect((await call(service, LOWER, "/unread-count")).body.count).toBe(2);

    await database.query("select bellwire.revoke($1)", [UPPER]);
    await stream.ended;
    expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
  });

  test.each([
    ["integer", "7", "7"],
    ["bigint", "9007199254740993", "9007199254740993"],
    ["uuid", UPPER, LOWER],
  ])(
    "%s is stored as it is printed, also when its column has become a text",
    async (type, id, kept) => {
      const { query } = database;
      await query(`create table public.parcels (owner ${type}, by ${type})`);
      await query(`select bellwire.define_rule('sent', 'public.parcels', 'insert',
      'select owner as recipient_id, by as actor_id, ''${type}'' as type from new_rows')`);
      await query("insert into public.parcels values ($1, null), ($1, $1), (null, $1)", [id]);
      await query("alter table public.parcels alter owner type text, alter by type text");
      for (const owner of [UPPER, "007"])
        await query("insert into public.parcels values ($1, null)", [owner]);
      await query("insert into public.parcels values ($1, $2)", [UPPER, LOWER]);
      const told = await query<{ recipient_id: string }>(
        "select n.recipient_id from bellwire.notifications n where type = $1 order by n.id",
        [type],
      );
      expect(told.map(({ recipient_id }) => recipient_id)).toEqual([kept, LOWER, "007"]);
      expect(await query("select message from bellwire.rule_errors")).toEqual([]);
      await query("select bellwire.drop_rule('sent')");
      await query("drop table public.parcels");
    },
  );

  test("an integer that grows to a bigint is still an integer", async () => {
    const { query } = database;
    await query("create table public.parcels (owner integer)");
    await query(`select bellwire.define_rule('sent', 'public.parcels', 'insert',
      'select owner as recipient_id, ''grown'' as type from new_rows')`);
    await query("insert into public.parcels values (7)");
    await query("alter table public.parcels alter owner type bigint");
    await query("insert into public.parcels values (9007199254740993)");
    expect(
      await query(
        "select recipient_id as id from bellwire.notifications where type = 'grown' order by bellwire.notifications.id",
      ),
    ).toEqual([{ id: "7" }, { id: "9007199254740993" }]);
    expect(await query("select * from bellwire.rule_errors")).toEqual([]);
    await query("select bellwire.drop_rule('sent')");
    await query("drop table public.parcels");
  });

  test("an id that cannot be stored is skipped, and the statement's other recipients are told", async () => {
    await database.query(
      "insert into public.orders values ($1, null, 'd'), ((select string_agg(md5(i::text), '') from generate_series(1, 400) as i), null, 'd')",
      [UPPER],
    );
    const rows = await database.query<{ recipient_id: string }>(
      "select recipient_id from bellwire.notifications where title = 'd'",
    );
    expect(rows).toEqual([{ recipient_id: LOWER }]);
  });
});

test("a token subject with half of a surrogate pair is refused and logged, because in UTF-8 all such are the same", async () => {
  const database = await createDatabase();
  try {
    const service = await startService({ databaseUrl: database.url });
    for (const subject of ["\ud800", "a\udfff", "\udc00\ud800"]) {
      const { status, body } = await call(service, subject, "/unread-count");
      expect({ status, code: body.code }).toEqual({ status: 401, code: "token_invalid" });
    }
    expect((await call(service, "\u{1f514}", "/unread-count")).status).toBe(200);
    expect(service.logged()).toContain("half of a surrogate pair");
  } finally {
    await database.close();
  }
});
