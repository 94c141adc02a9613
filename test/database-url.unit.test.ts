import pg from "pg";
import { expect, test } from "vitest";
import { readDatabaseConfig } from "../src/config.ts";
import { findUrlProblem } from "../src/database-url.ts";

const CANARY = "canary";

/** What people paste, with what they are told. */
const REFUSED: [url: string, said: string][] = [
  [`mysql://app:${CANARY}@db:3306/app`, "This begins with mysql:, and Bellwire needs PostgreSQL"],
  ["http://db:5432/app", "This begins with http:"],
  ["file:./dev.db", "This begins with file:"],
  [`postgresql+asyncpg://app:${CANARY}@db/app`, "This begins with postgresql+asyncpg:"],
  [`jdbc:postgresql://db/app?password=${CANARY}`, "JDBC's form"],
  [`prisma://accelerate.example/?api_key=${CANARY}`, "Prisma Accelerate"],
  [`prisma+postgres://localhost:51213/?api_key=${CANARY}`, "Prisma Accelerate"],
  [`"postgres://app:${CANARY}@db/app"`, "Remove the quotes"],
  [`psql 'postgres://app:${CANARY}@db/app'`, "Leave out the word psql"],
  [`host=db user=app password=${CANARY}`, "does not know the form host=… dbname=…"],
  [`{"host":"db","password":"${CANARY}"}`, "This is not a URL"],
  [`app:${CANARY}@db/app`, "This is not a URL"],
  [`postgres:app:${CANARY}@db/app`, "This is not a URL"],
  ["postgres://user:password@host:port/db", "the port is a number"],
  [`postgres://app:${CANARY}@db:99999/app`, "the port is a number"],
  ["postgres://app:<password>@db/app", "It has a placeholder"],
  ["postgres://postgres:[YOUR-PASSWORD]@db.example/postgres", "It has a placeholder"],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: what a .env file may contain
  ["postgres://app:${POSTGRES_PASSWORD}@db/app", "nothing expands"],
  [`postgres://app:${CANARY}#1@db/app`, "write @ : / ? # % as"],
  [`postgres://app:12/${CANARY}@db/app`, "write @ : / ? # % as"],
  [`postgres://app:${CANARY}?1@db/app`, "write @ : / ? # % as"],
  [`postgres://app:${CANARY}%ff@db/app`, "write @ : / ? # % as"],
  [`postgres://app:${CANARY}@db1,db2/app`, "It names several hosts"],
  [`postgres://app:${CANARY}@db1:5432,db2:5432/app`, "It names several hosts"],
  [`postgres://app:${CANARY}@db/app?sslmode=allow`, "sslmode is one of disable, prefer"],
];

/** The driver's own reading of the URL: what must not be refused. */
const ACCEPTED: [url: string, host: string, database: string][] = [
  ["postgres:///app", "localhost", "app"],
  ["postgres://app@/shop?host=/tmp", "/tmp", "shop"],
  ["postgresql://app@%2Fvar%2Frun%2Fpostgresql/shop", "/var/run/postgresql", "shop"],
  ["/tmp shop", "/tmp", "shop"],
  ["socket:/tmp?db=shop", "/tmp", "shop"],
  ["POSTGRES://app:p%40ss@db/shop", "db", "shop"],
  ["postgres://app:p@ss word%zz@db/shop", "db", "shop"],
  ["postgres://app:p@[::1]:5433/shop", "::1", "shop"],
  // Prisma's parameters are ignored.
  ["postgres://a:b@db/shop?schema=public&pgbouncer=true&connection_limit=5", "db", "shop"],
  ["postgres://a:b@db/shop?sslmode=verify-full&channel_binding=require", "db", "shop"],
];

test.each(REFUSED)("%s is refused with the reason, and not quoted", (url, said) => {
  for (const name of ["DATABASE_URL", "DIRECT_DATABASE_URL"]) {
    const environment = { DATABASE_URL: "postgres:///app", [name]: url };
    expect(() => readDatabaseConfig(environment)).toThrow(new RegExp(`→ at ${name}$`));
  }
  const problem = findUrlProblem(url);
  expect(problem).toContain(said);
  expect(problem).not.toContain(CANARY);
});

test.each(ACCEPTED)("%s is accepted, and the driver finds its host", (url, host, database) => {
  expect(findUrlProblem(url)).toBeUndefined();
  expect(new pg.Client({ connectionString: url })).toMatchObject({ host, database });
});
