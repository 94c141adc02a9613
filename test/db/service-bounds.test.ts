import type pg from "pg";
import { beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";

/** Limits for an attacker who has the service's login and passes extreme arguments. */
describe.each(inject("servers"))("bellwire_service on $name", (server) => {
  let database: TestDatabase;
  let service: pg.Client;

  beforeAll(async () => {
    database = await createDatabase(server);
    service = await database.connect();
    await service.query("set role bellwire_service");
    return () => database.close();
  });

  test.each(["'infinity'", "now() + interval '10 years'", "now()", "now() - interval '23 hours'"])(
    "cannot prune notifications younger than the owner's minimum age: %s",
    async (before) => {
      await database.query(
        "insert into bellwire.notifications (recipient_id, type, created_at) values ('1', 'x', now() - interval '23 hours 30 minutes')",
      );
      await expect(service.query(`select bellwire.prune(${before})`)).rejects.toMatchObject({
        code: "22023",
        message: "notifications younger than 1 day are not pruned",
        hint: "As a member of bellwire_owner: update bellwire.retention set minimum_age = '1 day'; with the age you want.",
      });
      expect(await database.query("delete from bellwire.notifications returning 1")).toHaveLength(
        1,
      );
    },
  );

  test("may prune up to the minimum age, which only the schema's owner can change", async () => {
    await service.query("select bellwire.prune(now() - interval '1 day')");
    await expect(
      service.query("update bellwire.retention set minimum_age = '0'"),
    ).rejects.toMatchObject({ code: "42501" });
    await database.query("update bellwire.retention set minimum_age = '1 hour'");
    await service.query("select bellwire.prune(now() - interval '1 hour')");
    await expect(
      database.query("update bellwire.retention set minimum_age = '-1 hour'"),
    ).rejects.toMatchObject({ code: "23514" });
    // As after a restore that left out the table's row.
    await database.query("delete from bellwire.retention");
    await expect(service.query("select bellwire.prune(now())")).rejects.toThrow("1 day");
    await database.query("insert into bellwire.retention default values");
  });

  test.each(["10 years", "61 s", null])(
    "issues tickets valid for at most a minute: %s",
    async (ttl) => {
      const { rows } = await service.query<{ short: boolean }>(
        `select bellwire.issue_ticket($1, '1', now(), 'infinity', $2) <= clock_timestamp() + interval '60 s' as short`,
        [`${ttl}`, ttl],
      );
      expect(rows).toEqual([{ short: true }]);
    },
  );

  test("issues no ticket for a token from the future, which no revocation would refuse", async () => {
    await service.query("select bellwire.issue_ticket('f', '1', 'infinity', 'infinity', '30 s')");
    const { rows } = await service.query<{ bounded: boolean }>(
      "select issued_at <= clock_timestamp() + interval '60 s' as bounded from bellwire.redeem_ticket('f')",
    );
    expect(rows).toEqual([{ bounded: true }]);
  });

  test.each([
    ["more types than the API takes", "select array_agg(n::text) from generate_series(1, 201) n"],
    ["a longer type than the API takes", "select array[repeat('x', 201)]"],
  ])("mutes no %s, which every rule would have to read", async (_, types) => {
    await expect(
      service.query(`select bellwire.mute_types('1', (${types}))`),
    ).rejects.toMatchObject({ code: "22023" });
    await service.query(
      "select bellwire.mute_types('1', (select array_agg(lpad(n::text, 200)) from generate_series(1, 200) n))",
    );
    await service.query("select bellwire.mute_types('1', null)");
  });

  test("suspends wake-ups for at most a second, whatever it passes", async () => {
    for (const ms of ["2147483647", "-2147483648", "null"]) {
      const { rows } = await service.query<{ ms: number }>(
        `select bellwire.wakeups_suspended_ms() as ms from bellwire.suspend_wakeups_for(${ms})`,
      );
      expect(rows[0]?.ms).toBeLessThanOrEqual(1000);
    }
  });

  test.each(["access exclusive", "exclusive", "share row exclusive", "share", "row exclusive"])(
    "can lock no table in %s mode",
    async (mode) => {
      onTestFinished(async () => {
        await service.query("rollback");
      });
      const tables = await database.query<{ name: string }>(
        "select oid::regclass::text as name from pg_class where relnamespace = 'bellwire'::regnamespace and relkind in ('r', 'v')",
      );
      for (const { name } of tables) {
        await service.query("begin");
        await expect(service.query(`lock table ${name} in ${mode} mode`)).rejects.toMatchObject({
          code: "42501",
        });
        await service.query("rollback");
      }
    },
  );
});
