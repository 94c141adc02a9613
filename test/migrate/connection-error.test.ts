import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { withConnection } from "../../src/migrate/connect.ts";
import { administer, createDatabase, type TestDatabase } from "../support/database.ts";

const PASSWORD = "canary-password";

/** A login of this file, and a database that it may not enter. */
const LOGIN = "bellwire_test_connection_error";
let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase(undefined, { empty: true });
  await administer(`create role ${LOGIN} login password '${PASSWORD}'`);
});
afterAll(async () => {
  await database.close();
  await administer(`drop role ${LOGIN}`);
});

/** The URL of the test's database with other parts. */
function urlWith(parts: { user?: string; password?: string; name?: string; query?: string }) {
  const { hostname, port, pathname } = new URL(database.url);
  const { user = LOGIN, password = PASSWORD, name = pathname.slice(1), query = "" } = parts;
  return `postgres://${user}:${password}@${hostname}:${port}/${name}${query}`;
}

async function messageOf(url: string, limitMs = 10_000): Promise<string> {
  const { message } = await withConnection(url, async () => new Error("connected"), {
    limitMs,
  }).catch((err: Error) => err);
  expect(message).not.toContain("canary");
  expect(message).toMatch(/^[^\n]*\. [^\n]*[.;]$/); // what, and what to do
  return message;
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

describe("PostgreSQL refuses the login:", () => {
  test("a wrong password, or no such user", async () => {
    const wrong = await messageOf(urlWith({ password: "canary-wrong" }));
    expect(wrong).toContain(`refused the password of user "${LOGIN}"`);
    expect(wrong).toContain("write @ : / ? # % as %40");
    const nobody = await messageOf(urlWith({ user: "bellwire_test_nobody" }));
    expect(nobody).toContain('user "bellwire_test_nobody", or has no such user');
  });

  test("no password", async () => {
    expect(await messageOf(urlWith({ password: "" }))).toContain("the database URL has none");
  });

  test("a role without login", async () => {
    await administer(`alter role ${LOGIN} nologin`);
    onTestFinished(() => administer(`alter role ${LOGIN} login`));
    expect(await messageOf(urlWith({}))).toContain("Create that user with the right to log in");
  });

  test("no such database", async () => {
    const message = await messageOf(urlWith({ name: "bellwire_test_typo" }));
    expect(message).toContain('no database "bellwire_test_typo"');
    expect(message).toContain("Create it: create database");
  });

  test("no right to connect; the statement that it names is enough", async () => {
    const { pathname } = new URL(database.url);
    await administer(`revoke connect on database "${pathname.slice(1)}" from public`);
    const message = await messageOf(urlWith({}));
    const [, grant] = /run: (grant .*;)$/.exec(message) ?? [];
    await administer(grant ?? "");
    await withConnection(urlWith({}), async (client) => client.query("select 1"));
  });

  test("no free connection", async () => {
    await administer(`alter role ${LOGIN} connection limit 0`);
    onTestFinished(() => administer(`alter role ${LOGIN} connection limit -1`));
    expect(await messageOf(urlWith({}))).toContain("has no free connection");
  });

  test("TLS where the server has none", async () => {
    const message = await messageOf(urlWith({ query: "?sslmode=verify-full" }));
    expect(message).toContain("has no TLS. Turn on ssl there; or remove sslmode");
  });
});

describe("no PostgreSQL is found:", () => {
  test("a port where nothing listens, at an address and at a name with two addresses", async () => {
    const server = createServer();
    const port = await portOf(server);
    await new Promise((resolve) => server.close(resolve));
    for (const host of ["127.0.0.1", "localhost"]) {
      const message = await messageOf(`postgres://app:${PASSWORD}@${host}:${port}/app`);
      expect(message).toContain(`Nothing listens at ${host}:${port}. Start PostgreSQL`);
    }
  });

  test("a socket that does not exist", async () => {
    const message = await messageOf(`postgres://app:${PASSWORD}@/app?host=/nowhere`);
    expect(message).toContain("Nothing listens at the socket /nowhere/.s.PGSQL.5432");
  });

  test("a host that does not exist", async () => {
    const message = await messageOf(`postgres://app:${PASSWORD}@db.invalid/app`);
    expect(message).toContain('The host name "db.invalid" cannot be resolved');
  });

  test("a port that never answers", async () => {
    const port = await portOf(createServer());
    const message = await messageOf(`postgres://app:${PASSWORD}@127.0.0.1:${port}/app`, 200);
    expect(message).toContain(`127.0.0.1:${port} does not answer`);
  });

  test("a port of something else, which answers or hangs up", async () => {
    for (const server of [createHttpServer(), createServer((socket) => socket.end())]) {
      const port = await portOf(server);
      for (const query of ["", "?sslmode=verify-full"]) {
        const url = `postgres://app:${PASSWORD}@127.0.0.1:${port}/app${query}`;
        expect(await messageOf(url, 1000)).toContain("Is that PostgreSQL's port?");
      }
    }
  });
});

describe("the URL cannot be used:", () => {
  test("its certificate file does not exist", async () => {
    const message = await messageOf(urlWith({ query: "?sslrootcert=system" }));
    expect(message).toContain("a file that cannot be read: system. Correct sslrootcert");
  });

  test("it cannot be read", async () => {
    expect(await messageOf(`postgres://app:${PASSWORD}@db:port/app`)).toContain("cannot be read");
  });
});
