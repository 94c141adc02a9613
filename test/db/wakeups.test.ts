import { once } from "node:events";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { startService } from "../support/service.ts";

const notify = "select bellwire.notify('1', 'test', title => $1)";

describe.each(inject("servers"))("on $name", (server) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createDatabase(server);
    return () => database.close();
  });

  /** Listens. Returns a function that sends one more wake-up and counts those that came before it. */
  async function listen() {
    const client = await database.connect();
    let heard = 0;
    client.on("notification", ({ payload }) => {
      if (payload === "") heard++;
    });
    await client.query("listen bellwire");
    return async () => {
      const sentinel = once(client, "notification", {});
      await database.query("notify bellwire, 'sentinel'");
      await sentinel;
      await client.query("select");
      return heard;
    };
  }

  test("while suspended, no wake-up is sent, not even by a transaction that was open before", async () => {
    const heard = await listen();
    const open = await database.connect();
    await open.query("begin isolation level serializable");
    await open.query("select count(*) from bellwire.notifications");
    await database.query("select bellwire.suspend_wakeups()");
    await database.query(notify, ["suspended"]);
    // From a rule, which runs with other rights than notify().
    await database.query("insert into public.messages (sender_id, recipient_id) values (1, 2)");
    await open.query(notify, ["open before"]);
    await open.query("commit");
    expect(await heard()).toBe(0);
    await database.query("select bellwire.resume_wakeups()");
    await database.query(notify, ["resumed"]);
    expect(await heard()).toBe(1);
  });

  const lease = (ms: number) => database.query("select bellwire.suspend_wakeups_for($1)", [ms]);

  async function suspendedMs(): Promise<number> {
    const [row] = await database.query<{ ms: number }>(
      "select bellwire.wakeups_suspended_ms() as ms",
    );
    return row?.ms ?? Number.NaN;
  }

  test("suspending for a while sends one wake-up, which tells the other services, and then none is sent", async () => {
    const heard = await listen();
    await lease(1000);
    await lease(1000);
    await database.query(notify, ["suspended"]);
    expect(await suspendedMs()).toBeGreaterThan(0);
    expect(await heard()).toBe(1);
    await lease(0);
    expect(await suspendedMs()).toBe(0);
    await database.query(notify, ["sent again"]);
    expect(await heard()).toBe(2);
  });

  test.each([
    ["they never were", null, null, false],
    ["that was long ago", "0", "0", false],
    ["a lease has run out", "epoch_ms() - 1", "0", false],
    ["a lease runs", "epoch_ms() + 900", null, true],
    ["a clock was set back", "epoch_ms() + 2000", "0", false],
    ["it is for good", null, "1", true],
    ["it is for good, and a lease has run out", "epoch_ms() - 1", "1", true],
    ["it is for good, and a lease runs", "epoch_ms() + 900", "1", true],
  ])("what an insert asks is what the milliseconds say: %s", async (_, until, good, expected) => {
    const client = await database.connect();
    await client.query(`
      create or replace function pg_temp.epoch_ms() returns bigint
        return floor(extract(epoch from clock_timestamp()) * 1000)`);
    const set = (sequence: string, value: string | null) =>
      client.query(
        value === null
          ? `alter sequence bellwire.${sequence} restart` // as before the first setval()
          : `select setval('bellwire.${sequence}', ${value.replace("epoch_ms", "pg_temp.epoch_ms")})`,
      );
    await set("wakeups_suspended_until_ms", until);
    await set("wakeups_suspended_for_good", good);
    const { rows } = await client.query(
      "select bellwire.wakeups_are_suspended() as are, bellwire.wakeups_suspended_ms() > 0 as ms",
    );
    expect(rows).toEqual([{ are: expected, ms: expected }]);
    await database.query("select bellwire.resume_wakeups()");
  });

  test("a lease runs out by itself, after at most a second", async () => {
    await lease(1_000_000);
    expect(await suspendedMs()).toBeLessThanOrEqual(1000);
    await expect.poll(suspendedMs, { timeout: 5000 }).toBe(0);
  });

  test("a lease whose end is far away, because the clock was set back, is ignored", async () => {
    const heard = await listen();
    await database.query(
      "select setval('bellwire.wakeups_suspended_until_ms', (extract(epoch from now()) * 1000)::bigint + 3600000)",
    );
    await database.query(notify, ["sent all the same"]);
    expect(await heard()).toBe(1);
    await database.query("select bellwire.resume_wakeups()");
  });

  test("a lease does not end a suspension for good, in either order", async () => {
    const heard = await listen();
    const dba = await database.connect();
    await dba.query("begin");
    await dba.query("select bellwire.suspend_wakeups()");
    await lease(1);
    expect(await suspendedMs()).toBe(Number.POSITIVE_INFINITY);
    await dba.query("commit");
    await lease(1);
    expect(await suspendedMs()).toBe(Number.POSITIVE_INFINITY);
    expect(await heard()).toBe(0);
    await database.query("select bellwire.resume_wakeups()");
    expect(await suspendedMs()).toBe(0);
  });

  test("suspending for good waits neither for locks that any role may take nor for a lease being written", async () => {
    const stranger = await database.connect();
    onTestFinished(() => stranger.end());
    await stranger.query("set role pg_monitor"); // a role without rights on bellwire
    // Locks that earlier versions took.
    await stranger.query(
      "select pg_advisory_lock(6570482391184526031), pg_advisory_lock(hashtext('bellwire.define_rule'))",
    );
    const busy = await database.connect();
    await busy.query("begin; select bellwire.suspend_wakeups_for(1000)");
    const dba = await database.connect();
    await dba.query("begin; set local lock_timeout = 1");
    await dba.query("select bellwire.suspend_wakeups()");
    const other = await database.connect();
    await other.query("begin; set local lock_timeout = 1; select bellwire.suspend_wakeups()");
    await other.query("select bellwire.resume_wakeups()");
    await other.query("select bellwire.suspend_wakeups()");
    for (const client of [busy, other, dba]) await client.query("rollback");
    expect(await suspendedMs()).toBe(Number.POSITIVE_INFINITY);
    await database.query("select bellwire.resume_wakeups()");
  });

  test("suspending for good, and resuming, hold while leases are taken all the time", async () => {
    const busy = await Promise.all(Array.from({ length: 4 }, () => database.connect()));
    let isOver = false;
    const leases = busy.map(async (client) => {
      let taken = 0;
      for (; !isOver; taken++) await client.query("select bellwire.suspend_wakeups_for(1)");
      return taken;
    });
    const seen = new Set<string>();
    for (let round = 0; round < 200; round++) {
      await database.query("select bellwire.suspend_wakeups()");
      for (let look = 0; look < 3; look++) seen.add(`suspended: ${await suspendedMs()}`);
      await database.query("select bellwire.resume_wakeups()");
      seen.add(`resumed: ${Number.isFinite(await suspendedMs())}`);
    }
    isOver = true;
    expect(Math.min(...(await Promise.all(leases)))).toBeGreaterThan(10);
    expect([...seen].sort()).toEqual(["resumed: true", "suspended: Infinity"]);
  });

  test("a rollback does not undo a suspension", async () => {
    const heard = await listen();
    await database.query("begin; select bellwire.suspend_wakeups(); rollback");
    await database.query(notify, ["suspended"]);
    expect(await heard()).toBe(0);
    await database.query("select bellwire.resume_wakeups()");
  });

  test("PREPARE TRANSACTION after a notification needs wake-ups suspended, and then works", async ({
    skip,
  }) => {
    const [row] = await database.query<{ max: number }>(
      "select current_setting('max_prepared_transactions')::int as max",
    );
    skip(row?.max === 0, "max_prepared_transactions is 0 on this server");
    const name = `'${new URL(database.url).pathname.slice(1)}'`;
    const prepare = async () => {
      const client = await database.connect();
      await client.query("begin");
      await client.query(notify, ["prepared"]);
      await client.query(`prepare transaction ${name}`);
    };
    await expect(prepare()).rejects.toThrow(/LISTEN, UNLISTEN, or NOTIFY/);

    await database.query("select bellwire.suspend_wakeups()");
    const service = await startService({ databaseUrl: database.url, env: { SWEEP_MS: "50" } });
    onTestFinished(async () => {
      await database.query("select bellwire.resume_wakeups()");
    });
    const stream = await openStream(service, "1");
    await stream.waitFor(({ event }) => event === "ready");
    await prepare();
    await database.query(notify, ["meanwhile"]);
    expect((await stream.take(1))[0]?.data.title).toBe("meanwhile");
    await database.query(`commit prepared ${name}`);
    expect((await stream.take(1))[0]?.data.title).toBe("prepared");
    expect(service.logged()).toContain("wake-ups are suspended for good");
    expect(await (await fetch(service.metricsUrl)).text()).toContain(
      "bellwire_wakeups_suspended 1",
    );
  });
});
