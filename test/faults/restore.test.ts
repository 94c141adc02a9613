import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom } from "../support/random.ts";
import { call } from "../support/service.ts";
import { startForwarder } from "./support/forwarder.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { type Readers, startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";

const at = (program: string) => `/usr/lib/postgresql/15/bin/${program}`;
const run = promisify(execFile);

/** Debian's; what comes with npm has no pg_dump. */
const canDump = existsSync(at("pg_dump"));
const RECIPIENTS = ["1", "2"];
const ANOTHER_HISTORY = "the database has another history; every stream is reset";

test.skipIf(!canDump).each([
  ["a younger", "runs on"],
  ["a younger", "is killed and started again"],
  ["an older", "runs on"],
])(
  "a dump restored into %s cluster resets every stream and rings nothing twice; the service %s",
  async (which, what) => {
    const old = await startPostgres({ major: 15 });
    const oldUrl = await createMigrated(old);
    await spendTransactionIds(old, 5000);
    const forwarder = await startForwarder(old.port);
    const { service, readers } = await startWatched(urlAt(forwarder.port));
    for (const i of [1, 2, 3, 4, 5]) await notifyAll(old, `row ${i}`);
    await old.query("select bellwire.revoke('nobody')", [], "bellwire");
    const dump = await makeDump(oldUrl);
    await notifyAll(old, "after the dump");
    await readers.until(() => readers.deliveries.length === 12, 10_000);
    const position = readers.deliveries.at(-1)?.cursor ?? "";

    const restored = await startPostgres({ major: 15 });
    if (which === "an older") await spendTransactionIds(restored, 10_000);
    await restoreDump(restored, dump);
    expect(await countUnborn(restored)).toBe(which === "an older" ? 0 : 10);
    if (what !== "runs on") await service.kill("SIGKILL");
    forwarder.pointTo(restored.port);
    forwarder.cutAll();
    const switchedAt = performance.now();
    if (what !== "runs on") await service.start();
    await readers.until(() => readers.resets.length === RECIPIENTS.length, 20_000);
    const healMs = performance.now() - switchedAt;

    await service.waitUntilReady();
    await expectResetFrom(service, position);
    await expectToGoOn(restored, readers, 12);
    expect(await countUnborn(restored)).toBe(0);
    // A restored row that changes is a change, and no news.
    await restored.query(
      "update bellwire.notifications set read_at = now() where body = 'row 1'",
      [],
      "bellwire",
    );
    const isRead = (reader: Readers["readers"][number]) =>
      [...(reader.isReadById?.values() ?? [])].filter(Boolean).length === 1;
    await readers.until(() => readers.readers.every(isRead), 5000);
    await expectToGoOn(restored, readers, 14);

    expect(readers.resets.map(({ reason }) => reason)).toEqual(["epoch_changed", "epoch_changed"]);
    const lines = service.logs().filter(({ msg }) => msg === ANOTHER_HISTORY);
    expect(lines.length).toBe(what === "runs on" ? 1 : 0); // a new process has no history yet
    const resets = (await service.metrics())("bellwire_stream_resets_total", {
      reason: "epoch_changed",
    });
    expect(resets).toBe(3);
    reportRestore(`dump restored into ${which} cluster, service ${what}`, readers, healMs);
    expect(service.exits).toEqual([]);
  },
  120_000,
);

const OVER_IT: [how: string, restore: (postgres: Postgres, dump: string) => Promise<unknown>][] = [
  [
    "by pg_restore --clean",
    (postgres, dump) => restoreInto(postgres, dump, "--clean", "--if-exists"),
  ],
  [
    "by pg_restore --clean in one transaction",
    (postgres, dump) =>
      restoreInto(postgres, dump, "--clean", "--if-exists", "--single-transaction"),
  ],
  [
    "once its schema was dropped",
    async (postgres, dump) => {
      await postgres.query("drop schema bellwire cascade", [], "bellwire");
      // The application's tables are there already, which it says and goes on.
      await restoreInto(postgres, dump).catch(() => {});
    },
  ],
  [
    "once its tables were emptied, as data only",
    async (postgres, dump) => {
      const [row] = await postgres.query<{ tables: string }>(
        `select string_agg(oid::regclass::text, ', ') as tables
           from pg_class
          where relnamespace = 'bellwire'::regnamespace
            and relkind = 'r'`,
        [],
        "bellwire",
      );
      await postgres.query(`truncate ${row?.tables} restart identity`, [], "bellwire");
      await restoreInto(postgres, dump, "--data-only", "--disable-triggers", "--schema=bellwire");
    },
  ],
];

test.skipIf(!canDump).each(OVER_IT)(
  "a dump restored over the same database resets every stream and rings nothing twice, %s",
  async (how, restore) => {
    const postgres = await startPostgres({ major: 15 });
    const databaseUrl = await createMigrated(postgres);
    const { service, readers } = await startWatched(databaseUrl);
    for (const i of [1, 2, 3, 4, 5]) await notifyAll(postgres, `row ${i}`);
    const dump = await makeDump(databaseUrl);
    for (const i of [6, 7, 8]) await notifyAll(postgres, `after the dump ${i}`);
    await readers.until(() => readers.deliveries.length === 16, 10_000);
    const position = readers.deliveries.at(-1)?.cursor ?? "";
    const list = await listOf(service);
    await spendTransactionIds(postgres, 100);

    const restoredAt = performance.now();
    await restore(postgres, dump);
    await readers.until(() => readers.resets.length >= RECIPIENTS.length, 20_000);
    const healMs = performance.now() - restoredAt;
    await service.waitUntilReady();
    // Those of what was there since the dump are given again, to others.
    await notifyAll(postgres, "after 16");
    await readers.until(() => readers.deliveries.length >= 16 + RECIPIENTS.length, 10_000);
    const bodies = readers.deliveries.slice(16).map(({ body }) => body);
    expect(bodies).toEqual(RECIPIENTS.map(() => "after 16"));
    await expectResetFrom(service, position);
    await expectResetFrom(service, list.cursor);
    expect(await pollOf(service, list.cursor)).toMatchObject({ reset: "epoch_changed" });
    const now = await listOf(service);
    expect(now.notifications.map(({ body }) => body)).toEqual([
      "after 16",
      ...[5, 4, 3, 2, 1].map((i) => `row ${i}`),
    ]);
    await expectToGoOn(postgres, readers, 18);
    const missed = await pollOf(service, now.cursor);
    expect(missed.notifications.map(({ body }) => body)).toEqual(["after 18"]);
    expect(new Set(readers.resets.map(({ reason }) => reason))).toEqual(new Set(["epoch_changed"]));
    reportRestore(`dump restored over the same database ${how}`, readers, healMs);
    expect(service.exits).toEqual([]);
  },
  120_000,
);

/**
 * A copy of the data folder, put back: the same cluster, timeline and database, so the epoch cannot tell. What tells
 * is a position that lies ahead of the server. It does no more once the server has spent as many transaction ids as it
 * was taken back: to whoever comes only then with a position from the lost time, rows under those ids count as seen.
 * Nothing in the database knows of this; a recovery that begins a new timeline, as PostgreSQL's own does, has another epoch.
 */
test("an older copy of the data folder resets whoever is ahead of it", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const { service, readers } = await startWatched(databaseUrl);
  await notifyAll(postgres, "in the copy");
  const epoch = await readEpoch(postgres);
  await postgres.stop("fast");
  const copy = join(await makeFolder(), "data");
  await run("cp", ["-a", postgres.dataDir, copy]); // with its owner, which Node's cp does not keep
  await postgres.start();
  await service.waitUntilReady();
  for (const i of [1, 2, 3, 4, 5]) await notifyAll(postgres, `after the copy ${i}`);
  await readers.until(() => readers.deliveries.length === 12, 10_000);
  const position = readers.deliveries.at(-1)?.cursor ?? "";
  expect(readers.resets).toEqual([]); // a restart is no other history

  await postgres.stop("fast");
  await rm(postgres.dataDir, { recursive: true });
  await run("cp", ["-a", copy, postgres.dataDir]);
  await postgres.start();
  const switchedAt = performance.now();
  await readers.until(() => readers.resets.length === RECIPIENTS.length, 20_000);
  const healMs = performance.now() - switchedAt;
  expect(await readEpoch(postgres)).toBe(epoch);
  await service.waitUntilReady();
  await expectResetFrom(service, position);
  await expectToGoOn(postgres, readers, 12);
  expect(readers.resets.map(({ reason }) => reason)).toEqual(["epoch_changed", "epoch_changed"]);
  reportRestore("older copy of the data folder", readers, healMs);
  expect(service.exits).toEqual([]);
}, 120_000);

const urlAt = (port: number) => `postgres://postgres:postgres@127.0.0.1:${port}/bellwire`;

async function startWatched(databaseUrl: string) {
  const service = await startServiceProcess({ databaseUrl });
  await service.waitUntilReady();
  const readers = await startReaders({
    streams: RECIPIENTS.length,
    recipients: RECIPIENTS,
    addresses: () => service.url,
    token: service.token,
    random: createRandom(1),
  });
  await readers.ready();
  return { service, readers };
}

async function notifyAll(postgres: Postgres, body: string): Promise<void> {
  const sql = "select bellwire.notify(id, 'test', body => $2) from unnest($1::text[]) id";
  await postgres.query(sql, [RECIPIENTS, body], "bellwire");
}

/** A cluster that has been in use is further on than a new one. */
async function spendTransactionIds(postgres: Postgres, count: number): Promise<void> {
  await postgres.query(`do $$
    begin
      for i in 1 .. ${count} loop
        perform pg_current_xact_id();
        commit;
      end loop;
    end $$`);
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-restore-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** As docs/dba.md says: the roles, then the database. */
async function makeDump(url: string): Promise<string> {
  const folder = await makeFolder();
  await run(at("pg_dumpall"), [
    "--roles-only",
    "--dbname",
    url,
    "--file",
    join(folder, "roles.sql"),
  ]);
  await run(at("pg_dump"), ["--format=custom", "--dbname", url, "--file", join(folder, "dump")]);
  return folder;
}

async function restoreDump(postgres: Postgres, folder: string): Promise<void> {
  // Role postgres is there already, which psql says and goes on.
  await run(at("psql"), ["--dbname", postgres.url(), "--file", join(folder, "roles.sql")]);
  await postgres.query("create database bellwire");
  await run(at("pg_restore"), [
    ...["--exit-on-error", "--dbname", postgres.url("bellwire")],
    join(folder, "dump"),
  ]);
}

/** Into the database that the service has open. */
async function restoreInto(postgres: Postgres, folder: string, ...options: string[]) {
  await run(at("pg_restore"), [
    ...options,
    "--dbname",
    postgres.url("bellwire"),
    join(folder, "dump"),
  ]);
}

interface Page {
  notifications: { body: string }[];
  cursor: string;
}

const listOf = (service: ServiceProcess): Promise<Page> => get(service, "");
const pollOf = (service: ServiceProcess, since: string): Promise<Page> =>
  get(service, `/poll?since=${since}`);

async function get(service: ServiceProcess, path: string): Promise<Page> {
  return (await call(service, "1", path)).body;
}

/** Rows under transaction ids that the server has not given yet. */
async function countUnborn(postgres: Postgres): Promise<number> {
  const [row] = await postgres.query<{ count: string }>(
    `select count(*)
       from bellwire.notifications
      where greatest(created_xid, changed_xid) >= pg_snapshot_xmax(pg_current_snapshot())`,
    [],
    "bellwire",
  );
  return Number(row?.count);
}

async function readEpoch(postgres: Postgres): Promise<string | undefined> {
  const [row] = await postgres.query<{ epoch: string }>("select bellwire.epoch()", [], "bellwire");
  return row?.epoch;
}

/** That a client which comes with that position is told, and told first. */
async function expectResetFrom(service: ServiceProcess, lastEventId: string): Promise<void> {
  const openedAt = performance.now();
  const stream = await openStream(service, "1", { lastEventId });
  const { data } = await stream.waitFor(({ event }) => event === "reset");
  expect(performance.now() - openedAt).toBeLessThan(2000);
  expect(data.reason).toBe("epoch_changed");
  expect(stream.events.map(({ event }) => event)).toEqual(["ready", "reset"]);
  stream.close();
}

/** That the next row arrives, and before it none of those that were restored. */
async function expectToGoOn(postgres: Postgres, readers: Readers, before: number): Promise<void> {
  await notifyAll(postgres, `after ${before}`);
  await readers.until(() => readers.deliveries.length >= before + RECIPIENTS.length, 2000);
  const bodies = readers.deliveries.slice(before).map(({ body }) => body);
  expect(bodies).toEqual(RECIPIENTS.map(() => `after ${before}`));
}

function reportRestore(fault: string, { deliveries }: Readers, healMs: number): void {
  const sent = deliveries.length;
  report({ fault, verdict: { sent, delivered: sent, lost: 0, repeated: 0, healMs } });
}
