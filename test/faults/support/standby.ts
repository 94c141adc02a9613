import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAs } from "../../../src/embedded/account.ts";
import { choosePlace } from "../../../src/embedded/place.ts";
import { once, type Server, startServer } from "../../../src/embedded/server.ts";
import { createLogger } from "../../../src/logger.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { findPort } from "./ports.ts";
import type { Postgres } from "./postgres.ts";

const at = (program: string) => `/usr/lib/postgresql/15/bin/${program}`;

/** From Debian: the PostgreSQL of npm has no pg_basebackup. */
export const canStandBy = existsSync(at("pg_basebackup"));

export interface StandbyOptions {
  /** PostgreSQL 15. */
  primary: Postgres;
  /** The port that it replicates from: the primary's, or a forwarder's. */
  primaryPort?: number;
}

/** A hot standby that replicates until it is promoted. It has the primary's roles and passwords. */
export async function startStandby({ primary, primaryPort = primary.port }: StandbyOptions) {
  const log = createLogger("silent");
  const binaries = { initdb: at("initdb"), postgres: at("postgres"), pgCtl: at("pg_ctl") };
  const folder = await mkdtemp(join(tmpdir(), "bellwire-standby-"));
  const place = await choosePlace({ dir: folder, binaries, log });
  const port = await findPort();
  let server: Server | undefined;

  const close = once(async () => {
    await server?.close();
    for (const dir of new Set([folder, place.dir])) await rm(dir, { recursive: true, force: true });
  });

  try {
    await runAs(place.account, at("pg_basebackup"), [
      ...["--pgdata", join(place.dir, "data"), "--write-recovery-conf", "--checkpoint", "fast"],
      ...["--dbname", `postgres://postgres:postgres@127.0.0.1:${primaryPort}`],
    ]);
    const settings = await readSettings(primary);
    server = await startServer({ place, port, settings, log });
  } catch (err) {
    await close();
    throw err;
  }
  closeAfterTest(close);

  return {
    port,
    /** As the superuser. */
    url: (database: string) => `postgres://postgres:postgres@127.0.0.1:${port}/${database}`,
    /** Resolves when it accepts writes. */
    async promote(): Promise<void> {
      const dataDir = join(place.dir, "data");
      await runAs(place.account, binaries.pgCtl, ["promote", "-w", "-D", dataDir]);
    },
    close,
  };
}

/** The primary has them from its command line, so they are not in the copy. A standby must not have lower values. */
async function readSettings(primary: Postgres): Promise<Record<string, string>> {
  const rows = await primary.query<{ name: string; setting: string }>(
    `select name, setting
       from pg_settings
      where source = 'command line'
        and name in ('fsync', 'max_connections', 'max_prepared_transactions')`,
  );
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}
