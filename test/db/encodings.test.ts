import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { PACKAGE_ROOT, readFiles } from "../../src/migrate/files.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openStream } from "../support/event-source.ts";
import { call, startService } from "../support/service.ts";

const log = createLogger("silent");
const EVERYTHING = ["sql/example", "sql/rules"];

/** A text that the encoding can represent, and one that it cannot. */
const ENCODINGS = [
  { encoding: "LATIN1", has: "Zoë", hasNot: "Жанна" },
  { encoding: "LATIN9", has: "Zoë, 7 €", hasNot: "Жанна" },
  { encoding: "EUC_JP", has: "ベル", hasNot: "Zoë🔔" },
  { encoding: "WIN1251", has: "Жанна", hasNot: "ベル" },
  { encoding: "UTF8", has: "Жанна 🔔", hasNot: undefined },
];

test("our SQL is ASCII, which every encoding can represent", () => {
  for (const { name } of readFiles({ folders: EVERYTHING }))
    expect(readFileSync(join(PACKAGE_ROOT, name), "utf8").match(/[^\0-\x7f]/u), name).toBeNull();
});

describe.each(inject("servers"))("on $name", (server) => {
  const createEncoded = (encoding: string) => createDatabase(server, { empty: true, encoding });

  const databases = new Map<string, Promise<TestDatabase>>();
  afterAll(async () => {
    for (const database of databases.values()) await (await database).close();
  });

  /** The migrated database in an encoding, which is the same for all tests. */
  function migrated(encoding: string): Promise<TestDatabase> {
    const database = databases.get(encoding) ?? createMigrated(encoding);
    databases.set(encoding, database);
    return database;
  }

  async function createMigrated(encoding: string) {
    const database = await createEncoded(encoding);
    await migrate({ url: database.url, folders: EVERYTHING, log });
    return database;
  }

  test.each(ENCODINGS)(
    "a database in $encoding is migrated, and texts that it can hold are streamed and listed",
    async ({ encoding, has, hasNot }) => {
      const database = await migrated(encoding);
      await database.query("insert into public.users (name) values ('a'), ('b')");
      const service = await startService({ databaseUrl: database.url });
      const stream = await openStream(service, "2");
      await stream.waitFor(({ event }) => event === "ready");
      await database.query(
        "insert into public.messages (sender_id, recipient_id, body) values (1, 2, $1)",
        [has],
      );
      expect((await stream.take(1))[0]?.data.body).toBe(has);
      expect(await database.query("select * from bellwire.rule_errors")).toEqual([]);

      await database.query("select bellwire.notify($1, 'test', title => $1)", [has]);
      const own = await call(service, has, "/");
      expect(own.body.notifications).toMatchObject([{ title: has }]);
      if (hasNot === undefined) return;
      // A recipient whom the encoding cannot represent has no notifications, and that is no error of the service.
      const { status, body } = await call(service, hasNot, "/");
      expect({ status, code: body.code }).toEqual({ status: 400, code: "request_invalid" });
      const types = { method: "PUT", body: { mutedTypes: [hasNot] } };
      expect((await call(service, "2", "/preferences", types)).status).toBe(400);
    },
  );

  test.each([
    ["UTF8", `${"x".repeat(139)}…`],
    ["LATIN9", `${"x".repeat(137)}...`],
    ["EUC_JP", `${"x".repeat(137)}...`],
    ["SQL_ASCII", `${"x".repeat(137)}...`],
  ])("a preview in %s has 140 characters with its ellipsis", async (encoding, expected) => {
    const database = await migrated(encoding);
    const preview = async (text: string) =>
      (await database.query("select bellwire.preview($1) as text", [text]))[0]?.text;
    expect(await preview("x".repeat(141))).toBe(expected);
    expect(await preview("x".repeat(140))).toBe("x".repeat(140));
    // Also for a constant, which is computed when the query is planned.
    const [row] = await database.query(`select bellwire.preview('${"x".repeat(141)}') as text`);
    expect(row?.text).toBe(expected);
  });

  test("a rule's file with a character that the database cannot represent is refused with the reason", async () => {
    const database = await createEncoded("LATIN1");
    onTestFinished(database.close);
    const folder = mkdtempSync(join(tmpdir(), "bellwire-rules-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "greet.sql"), "select 'Жанна';\n");
    await expect(migrate({ url: database.url, folders: [folder], log })).rejects.toThrow(
      /has no equivalent in encoding "LATIN1"\nHint: The database's encoding lacks this character\. Replace the character, or use a database in UTF8\.\nNothing was changed\./,
    );
  });
});
