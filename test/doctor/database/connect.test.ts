import { once } from "node:events";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { startPostgres } from "../../faults/support/postgres.ts";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { createLogin, examine, ofCheck, withLogin } from "./support.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

/** The only finding, which must not have the password. */
async function expectBroken(url: string, seen: string | RegExp, fix: string | RegExp) {
  const findings = await examine(url);
  expect(findings).toEqual([
    {
      check: "connect",
      level: "broken",
      seen: expect.stringMatching(seen),
      why: expect.any(String),
      fix: expect.stringMatching(fix),
    },
  ]);
  expect(JSON.stringify(findings)).not.toContain("secret");
}

const ofUrl = (url: string) => new URL(url);

test("a wrong password", async () => {
  const user = await createLogin(database);
  await expectBroken(
    withLogin(database.url, user, "another-secret"),
    `^DATABASE_URL: PostgreSQL at .* refused the password of user "${user}", or has no such user.$`,
    "^Correct user and password",
  );
});

test("no password", async () => {
  const { host, pathname } = ofUrl(database.url);
  await expectBroken(
    `postgres://somebody@${host}${pathname}`,
    'wants a password of user "somebody", and the database URL has none.$',
    "^Write it into the URL",
  );
});

test("an unknown database", async () => {
  const url = ofUrl(database.url);
  url.pathname = "/nowhere";
  await expectBroken(
    url.href,
    `^DATABASE_URL: PostgreSQL at ${url.host} has no database "nowhere".$`,
    'create database "nowhere";',
  );
});

test("nothing listens on the port", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  await expectBroken(
    `postgres://bell:secret@127.0.0.1:${port}/app`,
    `^DATABASE_URL: Nothing listens at 127.0.0.1:${port}.$`,
    "^Start PostgreSQL",
  );
});

test("an unknown host", async () => {
  await expectBroken(
    "postgres://bell:secret@nowhere.invalid/app",
    '^DATABASE_URL: The host name "nowhere.invalid" cannot be resolved.$',
    "^Correct the host",
  );
});

test("a server that accepts the connection and says nothing", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const startedAt = performance.now();
  await expectBroken(
    `postgres://bell:secret@127.0.0.1:${port}/app`,
    `^DATABASE_URL: 127.0.0.1:${port} does not answer.$`,
    "firewall",
  );
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});

test("a URL that asks for TLS of a server without it", async () => {
  await expectBroken(
    `${database.url}?sslmode=verify-full`,
    "^DATABASE_URL: PostgreSQL at .* has no TLS.$",
    "remove sslmode from the database URL",
  );
});

test("a login without the right to connect", async () => {
  const user = await createLogin(database);
  const name = ofUrl(database.url).pathname.slice(1);
  await database.query(`revoke connect on database ${name} from public`);
  await expectBroken(
    withLogin(database.url, user),
    `^DATABASE_URL: .* does not let user "${user}" connect to database "${name}".$`,
    `grant connect on database "${name}" to "${user}";`,
  );
  await database.query(`grant connect on database ${name} to public`);
});

test("a login that has used up its connections", async () => {
  const user = await createLogin(database, "alter role USER connection limit 0");
  await expectBroken(
    withLogin(database.url, user),
    "^DATABASE_URL: PostgreSQL at .* has no free connection.$",
    "the user's connection limit",
  );
});

test("a role that may not log in", async () => {
  const user = await createLogin(database, "alter role USER nologin");
  await expectBroken(
    withLogin(database.url, user),
    `^DATABASE_URL: .* refused user "${user}": role .* is not permitted to log in.$`,
    "^Create that user with the right to log in",
  );
});

test("a server that accepts only TLS", async () => {
  const postgres = await startPostgres();
  const file = join(postgres.dataDir, "pg_hba.conf");
  const before = await readFile(file, "utf8");
  await writeFile(file, "hostssl all all all scram-sha-256\n");
  await appendFile(file, before.replaceAll(/^host .*$/gm, ""));
  await postgres.restart("fast").catch(() => {});
  await expectBroken(
    postgres.url(),
    "^DATABASE_URL: .* refused user .*, no encryption.$",
    "^Add sslmode=require to the database URL",
  );
});

test("one URL that works and one that does not: the other is examined", async () => {
  const findings = await examine(database.url, { directUrl: `${database.url}_gone` });
  expect(ofCheck(findings, "connect")).toMatchObject([
    { level: "broken", seen: expect.stringMatching(/^DIRECT_DATABASE_URL: .* has no database/) },
    { level: "well", seen: expect.stringMatching(/^DATABASE_URL reaches /) },
  ]);
  expect(ofCheck(findings, "schema")).toMatchObject([{ level: "well" }]);
});
