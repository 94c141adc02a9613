import { describe, expect, inject, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { withConnection } from "../../src/migrate/connect.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { withProgress } from "../../src/migrate/progress.ts";
import { createDatabase } from "../support/database.ts";

/** The lines that have been said, and what waits for one. */
function listen() {
  const lines: string[] = [];
  let look = () => {};
  return {
    lines,
    say(line: string) {
      lines.push(line);
      look();
    },
    heard: (pattern: RegExp) =>
      new Promise<string>((resolve) => {
        look = () => {
          const line = lines.find((said) => pattern.test(said));
          if (line) resolve(line);
        };
        look();
      }),
  };
}

async function create(server: { url: string }) {
  const database = await createDatabase(server);
  onTestFinished(database.close);
  return database;
}

describe.each(inject("servers"))("on $name", (server) => {
  test("migrate names the session whose lock it waits for, and goes on when that is free", async () => {
    const database = await create(server);
    const holder = await database.connect();
    await holder.query("set application_name = 'a long report'");
    const { rows } = await holder.query("select pg_backend_pid() as pid, current_user as name");
    await holder.query("begin; lock table bellwire.schema_history in access exclusive mode");
    const { say, heard } = listen();
    const migrated = migrate({ url: database.url, log: createLogger("silent"), say });
    const line = await heard(/lock/);
    expect(line).toMatch(
      /^[1-9]\d* s: waiting for a lock of session \d+ \(a long report, user \w+, in a transaction for \d+ s\)$/,
    );
    expect(line).toContain(`session ${rows[0].pid} (a long report, user ${rows[0].name},`);
    await holder.query("commit");
    expect(await migrated).toEqual({ applied: [] });
  });

  test("an index is shown with its table, phase and percent", async () => {
    const database = await create(server);
    await database.query(
      "create table public.long (n bigint); insert into public.long select generate_series(1, 20000)",
    );
    // Slow enough to be seen: reading the table takes some seconds.
    await database.query(`create function public.slowly(n bigint) returns bigint language plpgsql immutable as $$
      begin if n % 100 = 0 then perform pg_sleep(0.01); end if; return n; end $$`);
    const { say, heard } = listen();
    await withConnection(database.url, async (client) => {
      const options = { url: database.url, client, say, everyMs: 20 };
      const building = withProgress(options, () =>
        client.query("create index on public.long (public.slowly(n))"),
      );
      expect(await heard(/, [1-9]\d? %$/)).toMatch(
        /^\d s: an index on (public\.)?long, building index: scanning table, \d+ %$/,
      );
      await building;
    });
  });

  test("work that fails is over at once, and says nothing more", async () => {
    const database = await create(server);
    const { say, lines, heard } = listen();
    await withConnection(database.url, async (client) => {
      const options = { url: database.url, client, say, everyMs: 5 };
      const failing = withProgress(options, async () => {
        await client.query("select pg_sleep(0.2)");
        await heard(/working/);
        throw new Error("it failed");
      });
      await expect(failing).rejects.toThrow("it failed");
    });
    const before = lines.length;
    expect(lines[0]).toMatch(/^\d s: working$/);
    const open =
      "select from pg_stat_activity where application_name = 'bellwire progress' and datname = current_database()";
    await expect.poll(() => database.query(open)).toEqual([]);
    expect(lines).toHaveLength(before);
  });
});
