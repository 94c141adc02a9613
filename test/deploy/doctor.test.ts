import { expect, test } from "vitest";
import { examine, ofCheck } from "../doctor/database/support.ts";
import { hasPgbouncer, startPgbouncer } from "../faults/support/pgbouncer.ts";
import { createMigrated, startPostgres } from "../faults/support/postgres.ts";

/** PgBouncer between doctor and a migrated database. */
async function openPooled(settings: Record<string, string> = {}) {
  const postgres = await startPostgres();
  const direct = await createMigrated(postgres);
  const login = { user: "postgres", password: "postgres" };
  const pgbouncer = await startPgbouncer({
    postgresPort: postgres.port,
    ...login,
    poolSize: 2,
    settings,
  });
  return { postgres, direct, pooled: pgbouncer.url("bellwire") };
}

test.skipIf(!hasPgbouncer)("LISTEN goes through a pooler in transaction mode", async () => {
  const { postgres, direct, pooled } = await openPooled();
  const findings = await examine(pooled);
  expect(ofCheck(findings, "listen")).toMatchObject([
    {
      level: "broken",
      seen: expect.stringMatching(/^DATABASE_URL leads through a connection pooler at 127.0.0.1/),
      fix: expect.stringContaining(
        `DIRECT_DATABASE_URL=postgres://postgres:PASSWORD@127.0.0.1:${postgres.port}/bellwire`,
      ),
    },
  ]);
  const mended = await examine(pooled, { directUrl: direct });
  expect(mended.filter(({ level }) => level !== "well")).toMatchObject([{ check: "service" }]);
  expect(ofCheck(mended, "server")).toMatchObject([{ seen: expect.stringContaining("pooler") }]);
});

test.skipIf(!hasPgbouncer)("a pooler in session mode passes LISTEN on, and is well", async () => {
  const { pooled } = await openPooled({ pool_mode: "session", default_pool_size: "5" });
  const findings = await examine(pooled);
  expect(ofCheck(findings, "listen")).toMatchObject([{ level: "well" }]);
});

test.skipIf(!hasPgbouncer)(
  "another client has left a setting in the pooler's session",
  async () => {
    const { pooled, direct } = await openPooled({ default_pool_size: "1" });
    const pg = await import("pg");
    const client = new pg.default.Client({ connectionString: pooled });
    await client.connect();
    await client.query("set session_replication_role = replica");
    await client.end();
    const findings = await examine(pooled, { directUrl: direct });
    expect(ofCheck(findings, "settings")).toMatchObject([
      {
        level: "broken",
        seen: "session_replication_role is replica (left by another client of the pooler)",
      },
    ]);
  },
);
