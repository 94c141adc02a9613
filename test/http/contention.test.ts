import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { call, type Service, startService } from "../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

beforeEach(() => database.query("truncate bellwire.notifications"));

const count = async (where: string) =>
  Number(
    (
      await database.query<{ n: string }>(
        `select count(*) as n from bellwire.notifications where ${where}`,
      )
    )[0]?.n,
  );

describe.each(["repeatable read", "serializable"])("where %s is the default", (isolation) => {
  test("writes of several at once are answered, none with 500", async () => {
    const name = new URL(database.url).pathname.slice(1);
    await database.query(
      `alter database ${name} set default_transaction_isolation = '${isolation}'`,
    );
    const service = await startService({ databaseUrl: database.url });
    await database.query(
      "select bellwire.notify('1', 'test', title => n::text) from generate_series(1, 40) n",
    );
    const rows = await database.query<{ id: string }>("select id from bellwire.notifications");
    const answers: string[] = [];
    const ask = async (method: string, path: string, body: object) => {
      const { status, headers } = await call(service, "1", path, { method, body });
      if (status === 503) expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
      answers.push(`${method} ${status}`);
    };
    for (let round = 0; round < 4; round++)
      await Promise.all([
        ...rows.slice(0, 4).map(({ id }) => ask("PATCH", `/${id}`, { read: round % 2 === 0 })),
        ...rows.slice(0, 4).map(({ id }) => ask("PATCH", `/${id}`, { archived: round % 2 === 0 })),
        ask("POST", "/mark-all-read", {}),
        ask("POST", "/mark-all-seen", {}),
        ask("PUT", "/preferences", { mutedTypes: [`a${round}`] }),
        ask("PUT", "/preferences", { mutedTypes: [`b${round}`] }),
      ]);
    expect(answers.filter((answer) => !/ (200|503)$/.test(answer))).toEqual([]);
    expect(answers.filter((answer) => answer.endsWith("200")).length).toBeGreaterThan(40);
    // All of it, once the others are through.
    await call(service, "1", "/mark-all-read", { method: "POST", body: {} });
    expect(await count("read_at is null and archived_at is null")).toBe(0);
  });
});

test("a mark-all that meets a writer in the other order is asked again, and both are done", async () => {
  const service: Service = await startService({ databaseUrl: database.url });
  const writer = await database.connect();
  await writer.query("set deadlock_timeout = '20s'"); // the service is who is found
  for (let round = 0; round < 3; round++) {
    await database.query("truncate bellwire.notifications");
    await database.query(
      "select bellwire.notify('1', 'test', title => n::text) from generate_series(1, 4000) n",
    );
    await writer.query("begin");
    const last = "(select max(id) from bellwire.notifications)";
    await writer.query(`update bellwire.notifications set title = 'changed' where id = ${last}`);
    const marked = call(service, "1", "/mark-all-read", { method: "POST", body: {} });
    // It has marked the others, and waits for that one.
    await expect
      .poll(() => database.query("select from pg_locks where not granted"))
      .not.toEqual([]);
    const first = "(select min(id) from bellwire.notifications)";
    await writer.query(`update bellwire.notifications set title = 'changed' where id = ${first}`);
    await writer.query("commit");
    expect((await marked).body).toEqual({ changed: 4000 });
    expect(await count("title = 'changed'")).toBe(2);
    expect(await count("read_at is null")).toBe(0);
  }
}, 60_000);
