import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { type Binaries, findBinaries } from "../../src/embedded/binaries.ts";
import { prepareData } from "../../src/embedded/data.ts";
import { choosePlace } from "../../src/embedded/place.ts";
import { startServer } from "../../src/embedded/server.ts";
import { createLogger } from "../../src/logger.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { urlOfDatabase } from "./database-url.ts";

/** A server for tests, and its migrated database that `createDatabase` clones. */
export type TestServer = { name: string; url: string; template: string };

declare module "vitest" {
  interface ProvidedContext {
    servers: TestServer[];
  }
}

type Running = { name: string; url: string; close(): Promise<void> };

/** Four times what both servers were seen to take. */
const ROOM_BYTES = 2 * 2 ** 30;

const log = createLogger("silent");

/** Runs once, around all test files. Afterwards it removes every server except that of TEST_POSTGRES_URL. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const running = await startServers();
  const close = () => Promise.all(running.map((server) => server.close()));
  try {
    const template = `bellwire_template_${randomBytes(6).toString("hex")}`;
    for (const { url } of running) await createTemplate(url, template);
    project.provide(
      "servers",
      running.map(({ name, url }) => ({ name, url, template })),
    );
    return async () => {
      for (const { url } of running) await query(url, `drop database ${template} with (force)`);
      await close();
    };
  } catch (err) {
    await close();
    throw err;
  }
}

/**
 * Only the server of TEST_POSTGRES_URL, or only one from the programs in TEST_POSTGRES_BIN. Without these PostgreSQL 18, which npm
 * installs, and Debian's 15, the oldest supported, if it is installed.
 */
async function startServers(): Promise<Running[]> {
  const { TEST_POSTGRES_URL: url, TEST_POSTGRES_BIN: bin } = process.env;
  if (url) return [{ name: "TEST_POSTGRES_URL", url, close: async () => {} }];
  if (bin) return [await startThrowaway("TEST_POSTGRES_BIN", programsIn(bin))];
  const binaries = await findBinaries().catch((cause: unknown) => {
    throw new Error(
      "The tests need a PostgreSQL: run npm ci (without --omit=optional), or " +
        "TEST_POSTGRES_URL=postgres://user:password@host/postgres npm test",
      { cause },
    );
  });
  const first = await startThrowaway("PostgreSQL 18", binaries);
  const debians = programsIn("/usr/lib/postgresql/15/bin");
  if (!existsSync(debians.postgres)) return [first];
  try {
    return [first, await startThrowaway("PostgreSQL 15", debians)];
  } catch (err) {
    await first.close();
    throw err;
  }
}

const programsIn = (folder: string): Binaries => ({
  initdb: join(folder, "initdb"),
  postgres: join(folder, "postgres"),
  pgCtl: join(folder, "pg_ctl"),
});

async function startThrowaway(name: string, binaries: Binaries): Promise<Running> {
  const folder = await mkdtemp(join(await findRoom(), "bellwire-test-"));
  const place = await choosePlace({ dir: folder, binaries, log });
  const removeFolders = async () => {
    // Two folders if the server's account may not enter root's own TMPDIR.
    for (const dir of new Set([folder, place.dir])) await rm(dir, { recursive: true, force: true });
  };
  try {
    await prepareData(place);
    // The data is temporary, so nothing waits for the disk.
    const settings = {
      fsync: "off",
      synchronous_commit: "off",
      full_page_writes: "off",
      // Debian's 15 would compile the expensive plans of test/http/settings.test.ts, for 15 s of CPU.
      jit: "off",
      // A worker's snapshot would keep the VACUUM of a test from marking pages as all-visible, and its ANALYZE would change plans midway.
      autovacuum: "off",
      max_connections: 300,
      max_prepared_transactions: 10,
    };
    const server = await startServer({ place, port: 0, settings, log });
    return {
      name,
      url: server.url("postgres"),
      close: async () => {
        await server.close();
        await removeFolders();
      },
    };
  } catch (err) {
    await removeFolders();
    throw err;
  }
}

/**
 * Linux's file system in memory, if it has room for both servers, because 150 databases are created and dropped: on a disk that takes
 * 27 s more of the kernel's time. A container has only 64 MB of it unless told otherwise.
 */
async function findRoom(): Promise<string> {
  const memory = await statfs("/dev/shm").catch(() => undefined);
  return memory && memory.bavail * memory.bsize > ROOM_BYTES ? "/dev/shm" : tmpdir();
}

/** Afterwards nobody may connect to the template, because one connection would make every clone fail. */
async function createTemplate(url: string, template: string): Promise<void> {
  await query(url, `create database ${template}`);
  await migrate({
    url: urlOfDatabase(url, template),
    folders: ["sql/example", "sql/rules"],
    log,
  });
  await query(url, `alter database ${template} allow_connections false`);
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
