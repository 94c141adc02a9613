import { existsSync } from "node:fs";
import { chown, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runAs } from "../../src/embedded/account.ts";
import { openStream, type StreamEvent } from "../support/event-source.ts";
import { call, type Service } from "../support/service.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";

/** Debian's; what comes with npm has none. */
const RESET_WAL = "/usr/lib/postgresql/15/bin/pg_resetwal";
const LAST = 2 ** 32 - 1;

/** What asks the API wants what a service in this process has. */
const asService = (service: ServiceProcess): Service => ({ ...service, logged: service.said });

const bodies = (events: readonly StreamEvent[]) =>
  events.map(({ event, data }) => data.body ?? event).filter((body) => body !== "ping");

test.skipIf(!existsSync(RESET_WAL)).each([1, 2])(
  "rows around transaction %i * 2^32 arrive, live and on resume, and nothing else notices",
  async (times) => {
    const postgres = await startPostgres({ major: 15 });
    const databaseUrl = await createMigrated(postgres);
    const end = BigInt(times) * 2n ** 32n;
    await moveTo(postgres, end - 20n);
    const service = await startServiceProcess({ databaseUrl, env: { SWEEP_MS: "200" } });
    await service.waitUntilReady();
    const live = await openStream(asService(service), "1");
    await live.waitFor(({ event }) => event === "ready");

    // One transaction each: some before the end, the last one of all, some behind it.
    const written: string[] = [];
    const xids: bigint[] = [];
    while ((xids.at(-1) ?? 0n) < end + 10n) {
      const body = `row ${written.length}`;
      const [row] = await postgres.query<{ xid: string }>(
        "select pg_current_xact_id()::text as xid, bellwire.notify('1', 'test', body => $1)",
        [body],
        "bellwire",
      );
      written.push(body);
      xids.push(BigInt(row?.xid ?? 0));
      await live.waitFor(({ data }) => data.body === body);
      // A list and a poll from its cursor, at every step.
      const list = await call(asService(service), "1", "?limit=1");
      expect(list.body.notifications?.[0]?.body).toBe(body);
      const poll = await call(asService(service), "1", `/poll?since=${list.body.cursor}`);
      expect(poll.body).toMatchObject({ notifications: [], reset: null });
      expect((await service.readiness()).status).toBe(200);
    }
    expect(xids).toContain(end - 1n);
    expect(xids).toContain(end + 3n);
    expect(bodies(live.events)).toEqual(["ready", ...written]);

    // From each id that was given, the rest.
    const ids = live.events.map(({ id }) => id ?? "");
    for (const [i, lastEventId] of ids.entries()) {
      const resumed = await openStream(asService(service), "1", { lastEventId });
      await resumed.take(written.length - i);
      await resumed.waitFor(({ event }) => event === "ready");
      expect(bodies(resumed.events)).toEqual(["ready", ...written.slice(i)]);
      resumed.close();
    }

    // And from where a service begins that starts just behind the end.
    await service.restart();
    await service.waitUntilReady();
    const started = await openStream(asService(service), "1");
    await started.waitFor(({ event }) => event === "ready");
    await postgres.query("select bellwire.notify('1', 'test', body => 'last')", [], "bellwire");
    expect((await started.take(1))[0]?.data.body).toBe("last");
    expect(service.exits).toEqual([]);
  },
  180_000,
);

test.skipIf(!existsSync(RESET_WAL))(
  "a service that starts where the newest row is of the last transaction of an epoch is ready, and goes on",
  async () => {
    const postgres = await startPostgres({ major: 15 });
    const databaseUrl = await createMigrated(postgres);
    await moveTo(postgres, BigInt(LAST));
    await postgres.query(
      "select bellwire.notify('1', 'test', body => 'at the end')",
      [],
      "bellwire",
    );
    const [row] = await postgres.query<{ xid: string }>(
      "select created_xid::text as xid from bellwire.notifications",
      [],
      "bellwire",
    );
    expect(row?.xid).toBe(`${LAST}`);
    const service = await startServiceProcess({ databaseUrl });
    await service.waitUntilReady();
    const stream = await openStream(asService(service), "1");
    await stream.waitFor(({ event }) => event === "ready");
    await postgres.query("select bellwire.notify('1', 'test', body => 'next')", [], "bellwire");
    expect((await stream.take(1))[0]?.data.body).toBe("next");
    expect((await call(asService(service), "1", "")).status).toBe(200);
    await postgres.query("update bellwire.retention set minimum_age = '0'", [], "bellwire");
    const pruned = await postgres.query(
      "select bellwire.prune(now()), bellwire.adopt_restored_rows()",
      [],
      "bellwire",
    );
    expect(pruned).toEqual([{ prune: "2", adopt_restored_rows: "0" }]);
    await postgres.query("select bellwire.notify('1', 'test', body => 'more')", [], "bellwire");
    expect((await stream.take(1))[0]?.data.body).toBe("more");
  },
  120_000,
);

/** Has the server give this transaction id next. Frozen first, what is there belongs to no transaction any more. */
async function moveTo(postgres: Postgres, next: bigint): Promise<void> {
  await postgres.query("update pg_database set datallowconn = true");
  const databases = await postgres.query<{ datname: string }>("select datname from pg_database");
  for (const { datname } of databases) await postgres.query("vacuum freeze", [], datname);
  await postgres.stop("fast");
  const { dataDir } = postgres;
  const { uid, gid } = await stat(dataDir);
  const xid = BigInt.asUintN(32, next);
  // The page of the commit log that the server would have come to by itself.
  const segment = (xid >> 20n).toString(16).toUpperCase().padStart(4, "0");
  const page = join(dataDir, "pg_xact", segment);
  await writeFile(page, Buffer.alloc(262_144), { flag: "wx" });
  await chown(page, uid, gid);
  const account = uid === process.getuid?.() ? undefined : { name: "owner", uid, gid };
  await runAs(account, RESET_WAL, ["-x", `${xid}`, "-e", `${next >> 32n}`, "-D", dataDir]);
  await postgres.start();
}
