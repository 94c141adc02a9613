import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { checkSchema } from "../../src/migrate/check-schema.ts";
import { MigrationError } from "../../src/migrate/error.ts";
import { PACKAGE_ROOT } from "../../src/migrate/files.ts";
import { migrate, plan } from "../../src/migrate/migrate.ts";
import { createPrerequisites } from "../../src/migrate/opening.ts";
import { refuseOldServer } from "../../src/migrate/server-version.ts";
import { formatStatus, status } from "../../src/migrate/status.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const log = createLogger("silent");

const TABLE = "create table bellwire.things (id bigint generated always as identity, what text);\n";
const COUNT = `create or replace function bellwire.count_things() returns bigint language sql
  as 'select count(*) from bellwire.things';\n`;
const FILES = {
  "migrations/0001_things.sql": TABLE,
  "sql/public/count_things.sql": COUNT,
};

/** A package root with only these files. */
function createPackage(files: Record<string, string> = FILES): string {
  const root = mkdtempSync(join(tmpdir(), "bellwire-migrate-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const folder of ["migrations", "sql/internal", "sql/public"])
    mkdirSync(join(root, folder), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

describe.each(inject("servers"))("migrate on $name", (server) => {
  let database: TestDatabase;
  let url: string;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server, { empty: true });
    ({ url, query } = database);
    return () => database.close();
  });

  afterEach(() =>
    // Ends the transactions that a test left open, also after a failure.
    query(`
      select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid();
      drop schema if exists bellwire cascade;
    `),
  );

  const applyFiles = (files?: Record<string, string>) =>
    migrate({ url, root: createPackage(files), log });

  /** The database through its own login, which is dropped after the test. */
  async function createLogin(attributes = "") {
    const name = `bellwire_test_${randomBytes(6).toString("hex")}`;
    await query(`create role ${name} login password 'secret' ${attributes}`);
    onTestFinished(async () => {
      await query(`drop owned by ${name}; drop role ${name}`);
    });
    return { name, loginUrl: url.replace(/^([^:]+:\/\/)([^@/]*@)?/, `$1${name}:secret@`) };
  }

  const listForeign = () =>
    query<{ name: string }>(
      `select oid::regclass::text as name from pg_class
        where relnamespace = 'bellwire'::regnamespace and relowner <> 'bellwire_owner'::regrole
       union all
       select oid::regprocedure::text from pg_proc
        where pronamespace = 'bellwire'::regnamespace and proowner <> 'bellwire_owner'::regrole`,
    );

  test("an empty database gets every file in order, and bellwire_owner owns everything that they create", async () => {
    const root = createPackage({
      ...FILES,
      "sql/internal/counted.sql":
        "-- requires: the_number.sql\ncreate or replace view bellwire.counted as select bellwire.the_number() as n;",
      "sql/public/the_number.sql":
        "create or replace function bellwire.the_number() returns int language sql as 'select 7';",
      "extra/things.sql": "insert into bellwire.things (what) values ('extra');",
    });

    expect(await migrate({ url, root, folders: ["extra"], log })).toEqual({
      applied: [
        "migrations/0001_things.sql",
        "sql/public/the_number.sql",
        "sql/internal/counted.sql",
        "sql/public/count_things.sql",
        "extra/things.sql",
      ],
    });
    expect(await query("select bellwire.count_things()::int as things")).toEqual([{ things: 1 }]);
    expect(await listForeign()).toEqual([]);
  });

  test("two folders whose files would have one name in the history are refused", async () => {
    const outside = createPackage({
      "a/rules/x.sql": "select 'a';",
      "b/rules/x.sql": "select 'b';",
    });
    const folders = [join(outside, "a/rules"), join(outside, "b/rules")];
    await expect(migrate({ url, root: createPackage(), folders, log })).rejects.toThrow(
      "Two folders have a file rules/x.sql. Rename one of the folders or files.",
    );
    expect(await query("select to_regnamespace('bellwire') as schema")).toEqual([{ schema: null }]);
  });

  test("a second run does nothing", async () => {
    await applyFiles();
    const [before] = await query("select max(applied_at) as at from bellwire.schema_history");
    expect(await migrate({ url, root: createPackage(), log })).toEqual({ applied: [] });
    expect(await query("select max(applied_at) as at from bellwire.schema_history")).toEqual([
      before,
    ]);
  });

  test("a changed repeatable file is applied again; different line ends are not a change", async () => {
    await applyFiles();
    const root = createPackage({
      "migrations/0001_things.sql": TABLE.replaceAll("\n", "\r\n"),
      "sql/public/count_things.sql": COUNT.replace("count(*)", "count(id)"),
    });
    expect((await status({ url, root })).repeatable).toEqual([
      { name: "sql/public/count_things.sql", state: "changed" },
    ]);
    expect(await migrate({ url, root, log })).toEqual({ applied: ["sql/public/count_things.sql"] });
    expect(await status({ url, root })).toMatchObject({ drifted: false });
  });

  test("a file is applied again when a file changes that it requires, directly or through another", async () => {
    const file = (requires: string, text = "") => `-- requires: ${requires}\n${text}`;
    let files: Record<string, string> = {
      "sql/internal/a.sql": file("b.sql"),
      "sql/internal/b.sql": file("c.sql"),
      "sql/internal/other.sql": "",
      "sql/public/c.sql": "",
    };
    await applyFiles(files);
    const change = (name: string, text: string) => {
      files = { ...files, [name]: text };
      return migrate({ url, root: createPackage(files), log });
    };
    expect(await change("sql/public/c.sql", "-- changed")).toEqual({
      applied: ["sql/public/c.sql", "sql/internal/b.sql", "sql/internal/a.sql"],
    });
    expect(await change("sql/internal/a.sql", file("b.sql", "-- changed"))).toEqual({
      applied: ["sql/internal/a.sql"],
    });
  });

  test("installed rules are rewritten when any part of the release's rule function has changed", async () => {
    const installed = await createDatabase(server);
    onTestFinished(() => installed.close());
    await installed.query(`
      select bellwire.define_rule('gone', 'public.messages', 'delete', $$
        select m.recipient_id, 'k' as dedupe_key from old_rows m
      $$, action => 'retract')`);
    const root = createPackage();
    for (const folder of ["migrations", "sql"]) {
      rmSync(join(root, folder), { recursive: true });
      cpSync(join(PACKAGE_ROOT, folder), join(root, folder), { recursive: true });
    }
    expect(await migrate({ url: installed.url, root, log })).toEqual({ applied: [] });
    const part = join(root, "sql/internal/rule_retraction.sql");
    writeFileSync(
      part,
      readFileSync(part, "utf8").replace("$retract$  ", "$retract$  -- New.\n  "),
    );

    expect((await migrate({ url: installed.url, root, log })).applied).toContain(
      "sql/internal/renew_rules.sql",
    );
    const bodies = await installed.query(
      "select position('-- New.' in prosrc) > 0 as is_new from pg_proc where proname = 'rule_gone'",
    );
    expect(bodies).toEqual([{ is_new: true }]);
    expect(await status({ url: installed.url, root })).toMatchObject({ drifted: false });
  });

  test("an edited versioned file is refused", async () => {
    await applyFiles();
    const root = createPackage({ ...FILES, "migrations/0001_things.sql": `${TABLE}select 1;` });
    await expect(migrate({ url, root, log })).rejects.toThrow(
      /^migrations\/0001_things.sql was edited after it was applied \(applied \w{8}, now \w{8}\)/,
    );
    expect(await status({ url, root })).toMatchObject({ drifted: true });
  });

  test("a database newer than the code is refused, but a service may start on it", async () => {
    await applyFiles({ ...FILES, "migrations/0002_new.sql": "" });
    const root = createPackage();
    await expect(migrate({ url, root, log })).rejects.toThrow("Deploy the newer Bellwire");

    const service = await database.connect();
    await service.query("set role bellwire_service");
    expect(await checkSchema(service, { root })).toEqual({ newer: ["migrations/0002_new.sql"] });
  });

  test("a service does not start on a database that lacks a migration, or that was never migrated", async () => {
    const client = await database.connect();
    const root = createPackage({ ...FILES, "migrations/0002_new.sql": "" });
    await expect(checkSchema(client, { root })).rejects.toThrow(MigrationError);
    await applyFiles(FILES);
    await expect(checkSchema(client, { root })).rejects.toThrow(
      "lacks migrations/0002_new.sql. Run bellwire migrate",
    );
  });

  test("a service's user without the role gets an error that names the role to grant", async () => {
    await applyFiles(FILES);
    const client = await database.connect();
    const { name } = await createLogin();
    await client.query(`set role ${name}`);
    await expect(checkSchema(client)).rejects.toThrow("grant bellwire_service to");
  });

  test("a new file with a lower number than an applied one is refused", async () => {
    await applyFiles({ "migrations/0002_later.sql": "" });
    await expect(
      migrate({
        url,
        root: createPackage({
          "migrations/0001_late.sql": "",
          "migrations/0002_later.sql": "",
        }),
        log,
      }),
    ).rejects.toThrow("Give the new file the next number");
  });

  test("a schema that was not made by migrate is refused", async () => {
    await query("create schema bellwire");
    await query("create table bellwire.notifications ()");
    for (const run of [migrate, plan]) {
      await expect(run({ url, root: createPackage(), log })).rejects.toThrow(
        "it has bellwire.notifications but no history",
      );
    }
  });

  test("a failing file changes nothing, and the error names its line", async () => {
    const root = createPackage({
      ...FILES,
      "migrations/0002_bad.sql": "-- 🔔 two units, one character\nselect 1;\nselect 'x'::txet;\n",
    });
    await expect(migrate({ url, root, log })).rejects.toThrow(
      /^migrations\/0002_bad.sql:3: type "txet" does not exist\nNothing was changed/,
    );
    expect(await query("select to_regnamespace('bellwire') as schema")).toEqual([{ schema: null }]);
  });

  test("a file's warnings are logged; its notices are not", async () => {
    const lines: string[] = [];
    const root = createPackage({
      "sql/public/warn.sql":
        "do $$ begin raise notice 'by the way'; raise warning 'look here' using hint = 'or there'; end $$;",
    });
    await migrate({ url, root, log: createLogger("warn", { write: (line) => lines.push(line) }) });
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { warning: "look here", hint: "or there" },
    ]);
  });

  test("a file that ends the transaction is refused", async () => {
    const obvious = createPackage({ "migrations/0001_commit.sql": "select 1;\ncommit;\n" });
    await expect(migrate({ url, root: obvious, log })).rejects.toThrow("ends a transaction");
    expect(await query("select to_regnamespace('bellwire') as schema")).toEqual([{ schema: null }]);

    const hidden = createPackage({ "migrations/0001_commit.sql": "select 1; commit; select 2;\n" });
    await expect(migrate({ url, root: hidden, log })).rejects.toThrow(
      "ended migrate's transaction",
    );
  });

  test("when two runs start at once, the second has nothing to do", async () => {
    const root = createPackage();
    const runs = await Promise.all([migrate({ url, root, log }), migrate({ url, root, log })]);
    expect(runs.map(({ applied }) => applied.length).sort()).toEqual([0, 2]);
  });

  test.each([
    ["a first run", async () => {}, "create schema bellwire", 2],
    ["a later run", applyFiles, "lock table bellwire.schema_history in row exclusive mode", 0],
  ])("no timeout ends the wait for another run: %s", async (_, prepare, held, applied) => {
    await prepare();
    const name = new URL(url).pathname.slice(1);
    await query(`alter database ${name} set lock_timeout = 1`);
    onTestFinished(async () => {
      await query(`alter database ${name} reset lock_timeout`);
    });
    const other = await database.connect();
    await other.query("begin");
    await other.query(held);
    const waiting = migrate({ url, root: createPackage(), log });
    await expect
      .poll(() =>
        query(
          `select from pg_stat_activity where datname = current_database()
            and wait_event_type = 'Lock' and clock_timestamp() - query_start > '50 ms'`,
        ),
      )
      .toHaveLength(1);
    await other.query("rollback");
    expect((await waiting).applied).toHaveLength(applied);
  });

  test("a role without the right to write the history cannot block a run", async () => {
    await applyFiles();
    const stranger = await database.connect();
    await stranger.query("set role bellwire_service");
    await stranger.query("begin; select * from bellwire.schema_history");
    // What a release waited for until 2026-11-28.
    await stranger.query("select pg_advisory_lock(x'62656c6c77697265'::bigint)");
    expect(await migrate({ url, root: createPackage(), log })).toEqual({ applied: [] });
  });

  test("the printed plan does the same as migrate, and stops when it is run a second time", async () => {
    const root = createPackage();
    const read = async () => ({
      status: await status({ url, root }),
      history: await query(
        `select name, kind, checksum, version from bellwire.schema_history
         union all select name, 'function', checksum, null from bellwire.schema_functions order by name`,
      ),
    });
    await migrate({ url, root, log });
    const migrated = await read();
    await query("drop schema bellwire cascade");

    const text = await plan({ url, root });
    const client = await database.connect();
    await client.query(text);
    expect(await read()).toEqual(migrated);
    expect(await listForeign()).toEqual([]);
    expect(await plan({ url, root })).toContain("-- No file to apply.");
    await expect(client.query(text)).rejects.toThrow("schema_history_pkey");
  });

  test("functions that were edited, dropped or added by hand are drift; migrate restores its own", async () => {
    await applyFiles({
      ...FILES,
      "sql/public/dropped.sql":
        "create or replace function bellwire.dropped() returns int language sql as 'select 1';",
    });
    const root = createPackage({
      ...FILES,
      "sql/public/dropped.sql":
        "create or replace function bellwire.dropped() returns int language sql as 'select 1';",
    });
    await query(
      "create or replace function bellwire.count_things() returns bigint language sql as 'select 0::bigint'",
    );
    await query("drop function bellwire.dropped()");
    await query("create function bellwire.added() returns int language sql as 'select 1'");

    const before = await status({ url, root });
    expect(before.functions).toEqual([
      { name: "bellwire.added()", state: "unknown" },
      { name: "bellwire.count_things()", state: "edited" },
      { name: "bellwire.dropped()", state: "missing" },
    ]);
    expect(before.drifted).toBe(true);
    expect(formatStatus(before)).toMatch(/^function +edited +bellwire.count_things\(\)/m);

    const { applied } = await migrate({ url, root, log });
    expect(applied).toEqual(["sql/public/count_things.sql", "sql/public/dropped.sql"]);
    expect((await status({ url, root })).functions).toEqual([
      { name: "bellwire.added()", state: "unknown" },
    ]);
    expect(await migrate({ url, root, log })).toEqual({ applied: [] });
  });

  test("a rule's function is compared with the rule's definition", async () => {
    const files = {
      "migrations/0001_rules.sql": `create table bellwire.rule_definitions (name text, function text, checksum text);
        insert into bellwire.rule_definitions values ('x', 'bellwire.rule_x()', md5('begin return null; end'));`,
      "sql/public/rule_x.sql": `create or replace function bellwire.rule_x() returns trigger language plpgsql
        as 'begin return null; end';`,
    };
    await applyFiles(files);
    const root = createPackage(files);
    expect((await status({ url, root })).functions).toEqual([]);
    await query(
      "create or replace function bellwire.rule_x() returns trigger language plpgsql as 'begin return new; end'",
    );
    expect((await status({ url, root })).functions).toEqual([
      { name: "bellwire.rule_x()", state: "edited" },
    ]);
  });

  test("an ordinary user gets the SQL that an administrator must run, and succeeds after it", async () => {
    const { name, loginUrl } = await createLogin();
    const root = createPackage();
    const refused = await migrate({ url: loginUrl, root, log }).catch((err: unknown) => err);
    expect(refused).toBeInstanceOf(MigrationError);
    const { message } = refused as MigrationError;
    expect(message).toContain(`The user "${name}" may not prepare this database`);
    const sql = message.slice(message.indexOf("do $"));
    expect(await plan({ url: loginUrl, root })).toContain(sql);

    await query(sql);
    expect((await migrate({ url: loginUrl, root, log })).applied).toHaveLength(2);
    expect(await listForeign()).toEqual([]);
  });

  test.each([
    ["bellwire_owner", "superuser"],
    ["bellwire_owner", "login"],
    ["bellwire_rules", "superuser"],
    ["bellwire_rules", "login"],
  ])(
    "%s as %s is refused, because functions would have its rights; the error says how to change it",
    async (role, is) => {
      const client = await database.connect();
      // All tests share the role, so this stays in a transaction that nobody else sees.
      await client.query(`begin; alter role ${role} ${is}`);
      await expect(client.query(createPrerequisites("postgres"))).rejects.toMatchObject({
        message: expect.stringContaining(`alter role ${role} nosuperuser nologin;`),
        code: "0P000",
      });
      await client.query("rollback");
      await client.query(createPrerequisites("postgres"));
    },
  );

  test("a user who may manage roles needs no administrator", async () => {
    const { name, loginUrl } = await createLogin("createrole");
    await query(`grant create on database ${new URL(url).pathname.slice(1)} to ${name}`);
    // Since PostgreSQL 16 the creator of a role may grant it, but does not have its rights.
    const [{ modern } = { modern: false }] = await query<{ modern: boolean }>(
      "select current_setting('server_version_num')::int >= 160000 as modern",
    );
    if (modern) {
      await query(`grant bellwire_owner to ${name} with admin true, inherit false, set false`);
    }
    const root = createPackage();
    expect((await migrate({ url: loginUrl, root, log })).applied).toHaveLength(2);
    expect(await migrate({ url: loginUrl, root, log })).toEqual({ applied: [] });
    expect(await listForeign()).toEqual([]);
  });
});

describe("a server", () => {
  test.each([
    [140099, "14.99"],
    [130000, "13.0.0"],
    [90624, "9.6.24"],
  ])(
    "of version %i is refused; the error names its version and the oldest supported one",
    (number, name) => {
      expect(() => refuseOldServer({ number, name })).toThrow(
        `This server is PostgreSQL ${name}. Bellwire needs PostgreSQL 15 or newer`,
      );
    },
  );

  test.each([150000, 150017, 180004, 1000001])("of version %i is accepted", (number) => {
    refuseOldServer({ number, name: "new" });
  });
});

describe("the files", () => {
  const refusal = async (files: Record<string, string>) =>
    plan({ url: "postgres://nobody@localhost:1/none", root: createPackage(files) });

  test("need different numbers", async () => {
    await expect(refusal({ "migrations/1_a.sql": "" })).rejects.toThrow("0001_what.sql");
    await expect(
      refusal({ "migrations/0001_a.sql": "", "migrations/0001_b.sql": "" }),
    ).rejects.toThrow("Two files have the number of");
  });

  test("may require only files that exist, and no file in a circle", async () => {
    await expect(refusal({ "sql/public/a.sql": "-- requires: b.sql" })).rejects.toThrow(
      "sql/public/a.sql requires b.sql, which is not in sql/internal or sql/public",
    );
    await expect(
      refusal({
        "sql/internal/a.sql": "-- requires: b.sql",
        "sql/public/b.sql": "-- requires: a.sql",
      }),
    ).rejects.toThrow("sql/internal/a.sql → sql/public/b.sql → sql/internal/a.sql");
  });
});
