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

  /** Listens, and tells how many wake-ups were sent before a last one of its own. */
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

  test("suspended, no wake-up is sent, not even by a transaction that was open before", async () => {
    const heard = await listen();
    const open = await database.connect();
    await open.query("begin isolation level serializable");
    await open.query("select count(*) from bellwire.notifications");
    await database.query("select bellwire.suspend_wakeups()");
    await database.query(notify, ["suspended"]);
    await open.query(notify, ["open before"]);
    await open.query("commit");
    expect(await heard()).toBe(0);
    await database.query("select bellwire.resume_wakeups()");
    await database.query(notify, ["resumed"]);
    expect(await heard()).toBe(1);
  });

  test("suspension is not undone by a rollback", async () => {
    const heard = await listen();
    await database.query("begin; select bellwire.suspend_wakeups(); rollback");
    await database.query(notify, ["suspended"]);
    expect(await heard()).toBe(0);
    await database.query("select bellwire.resume_wakeups()");
  });

  test("a notification made in a prepared transaction needs them suspended, and then works", async ({
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
