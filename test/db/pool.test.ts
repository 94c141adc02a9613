import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { watchOldestTransaction } from "../../src/db/oldest-transaction.ts";
import { asService, createPool } from "../../src/db/pool.ts";
import { warnOfMissingLimits } from "../../src/db/session-limits.ts";
import { withClient } from "../../src/db/with-client.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const log = createLogger("silent");
const open = () => createPool({ url: asService(database.url), size: 2, log });

test("a session of the service has limits; a warning names the limits that a login lacks", async () => {
  const lines = new PassThrough();
  let logged = "";
  lines.on("data", (chunk) => {
    logged += chunk;
  });
  const warnings = createLogger("warn", lines);
  const limited = open();
  await warnOfMissingLimits(limited, warnings);
  expect(logged).toBe("");
  await limited.close();

  const login = createPool({ url: database.url, size: 1, log });
  await warnOfMissingLimits(login, warnings);
  expect(JSON.parse(logged)).toMatchObject({
    level: 40,
    missing: ["idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"],
  });
  await login.close();
});

test("a pool closes even while a query gets no answer", async () => {
  const pool = open();
  const blocker = await database.connect();
  await blocker.query("begin; lock table bellwire.notifications");
  const asked = pool.query("select from bellwire.notifications").catch((err: Error) => err);
  await expect.poll(() => database.query("select from pg_locks where not granted")).not.toEqual([]);
  await pool.close();
  expect(await asked).toBeInstanceOf(Error);
  await blocker.query("rollback");
});

test("a pool that closes waits for a running query's answer", async () => {
  const pool = open();
  const asked = pool.query("select pg_sleep(0.2), 'answer' as it");
  await expect
    .poll(() => database.query("select from pg_stat_activity where query like 'select pg_sleep%'"))
    .not.toEqual([]);
  const closed = pool.close();
  expect((await asked).rows[0].it).toBe("answer");
  await closed;
});

test("a connection that is lost during work of several statements fails only that work", async () => {
  const pool = open();
  const work = withClient(pool, async (client) => {
    const { connection } = client as unknown as { connection: { stream: Socket } };
    const asked = client.query("select pg_sleep(10)");
    connection.stream.destroy(new Error("reset by peer"));
    await asked;
  });
  await expect(work).rejects.toThrow("reset by peer");
  expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await pool.close();
});

test.each(["read committed", "repeatable read", "serializable"])(
  "when the default is %s, every statement is read committed, including the first",
  async (isolation) => {
    const name = new URL(database.url).pathname.slice(1);
    await database.query(
      `alter database ${name} set default_transaction_isolation = '${isolation}'`,
    );
    onTestFinished(async () => {
      await database.query(`alter database ${name} reset default_transaction_isolation`);
    });
    const pool = open();
    const show = "select current_setting('transaction_isolation') as isolation";
    for (const asked of [pool.query(show), pool.query(show), pool.query({ text: show })])
      expect((await asked).rows).toEqual([{ isolation: "read committed" }]);
    await expect(pool.query("select 1 / 0")).rejects.toMatchObject({ code: "22012" });
    expect((await pool.query(show)).rows).toEqual([{ isolation: "read committed" }]);
    await pool.close();
  },
);

test("watchOldestTransaction names the oldest writer in any database, prepared transactions included, with few rights", async () => {
  const pool = open();
  const elsewhere = await createDatabase();
  const findOldest = watchOldestTransaction(pool);
  const oldest = async () => (await findOldest())?.holder ?? "";
  const writer = await elsewhere.connect();
  await writer.query("begin");
  const { rows } = await writer.query("select pg_current_xact_id(), pg_backend_pid() as pid");
  const own = `pid ${rows[0].pid}, database ${new URL(elsewhere.url).pathname.slice(1)}, user postgres`;
  // Tests of other files write on this server as well; their transactions end soon.
  await expect.poll(oldest, { timeout: 15_000 }).toBe(own);
  const { seconds = 0 } = (await findOldest()) ?? {};
  await expect.poll(async () => (await findOldest())?.seconds).toBeGreaterThan(seconds);
  await writer.query("commit");
  await expect.poll(oldest).not.toBe(own);
  await elsewhere.close();
  await pool.close();
});
