import { existsSync } from "node:fs";
import { chown, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runAs } from "../../src/embedded/account.ts";
import { openStream, type StreamEvent } from "../support/event-source.ts";
import { call } from "../support/service.ts";
import type { Postgres } from "./support/postgres.ts";
import { startServiceProcess } from "./support/service-process.ts";
import { openDatabase } from "./support/trial.ts";

/** From Debian: the PostgreSQL of npm does not have it. */
const RESET_WAL = "/usr/lib/postgresql/15/bin/pg_resetwal";
const LAST = 2 ** 32 - 1;

const bodies = (events: readonly StreamEvent[]) =>
  events.map(({ event, data }) => data.body ?? event).filter((body) => body !== "ping");

test.skipIf(!existsSync(RESET_WAL)).each([1, 2])(
  "rows around transaction %i * 2^32 arrive, live and on resume",
  async (times) => {
    const { postgres, databaseUrl, query } = await openDatabase({ major: 15 });
    const end = BigInt(times) * 2n ** 32n;
    await moveTo(postgres, end - 20n);
    const service = await startServiceProcess({ databaseUrl, env: { SWEEP_MS: "200" } });
    await service.waitUntilReady();
    const live = await openStream(service, "1");
    await live.waitFor(({ event }) => event === "ready");

    // One row per transaction: some before the end, the last one, and some after it.
    const written: string[] = [];
    const xids: bigint[] = [];
    while ((xids.at(-1) ?? 0n) < end + 10n) {
      const body = `row ${written.length}`;
      const [row] = await query<{ xid: string }>(
        "select pg_current_xact_id()::text as xid, bellwire.notify('1', 'test', body => $1)",
        [body],
      );
      written.push(body);
      xids.push(BigInt(row?.xid ?? 0));
      await live.waitFor(({ data }) => data.body === body);
      // After each row, a list and a poll from its cursor.
      const list = await call(service, "1", "?limit=1");
      expect(list.body.notifications?.[0]?.body).toBe(body);
      const poll = await call(service, "1", `/poll?since=${list.body.cursor}`);
      expect(poll.body).toMatchObject({ notifications: [], reset: null });
      expect((await service.readiness()).status).toBe(200);
    }
    expect(xids).toContain(end - 1n);
    expect(xids).toContain(end + 3n);
    expect(bodies(live.events)).toEqual(["ready", ...written]);

    // A resume from each id gets the rest.
    const ids = live.events.map(({ id }) => id ?? "");
    for (const [i, lastEventId] of ids.entries()) {
      const resumed = await openStream(service, "1", { lastEventId });
      await resumed.take(written.length - i);
      await resumed.waitFor(({ event }) => event === "ready");
      expect(bodies(resumed.events)).toEqual(["ready", ...written.slice(i)]);
      resumed.close();
    }

    // A service that starts just after the end delivers as well.
    await service.restart();
    await service.waitUntilReady();
    const started = await openStream(service, "1");
    await started.waitFor(({ event }) => event === "ready");
    await query("select bellwire.notify('1', 'test', body => 'last')");
    expect((await started.take(1))[0]?.data.body).toBe("last");
    expect(service.exits).toEqual([]);
  },
  180_000,
);

test.skipIf(!existsSync(RESET_WAL))(
  "a service that starts when the newest row has the last transaction id of an epoch delivers the next row",
  async () => {
    const { postgres, databaseUrl, query } = await openDatabase({ major: 15 });
    await moveTo(postgres, BigInt(LAST));
    await query("select bellwire.notify('1', 'test', body => 'at the end')");
    const [row] = await query<{ xid: string }>(
      "select created_xid::text as xid from bellwire.notifications",
    );
    expect(row?.xid).toBe(`${LAST}`);
    const service = await startServiceProcess({ databaseUrl });
    await service.waitUntilReady();
    const stream = await openStream(service, "1");
    await stream.waitFor(({ event }) => event === "ready");
    await query("select bellwire.notify('1', 'test', body => 'next')");
    expect((await stream.take(1))[0]?.data.body).toBe("next");
    expect((await call(service, "1", "")).status).toBe(200);
    await query("update bellwire.retention set minimum_age = '0'");
    const pruned = await query("select bellwire.prune(now()), bellwire.adopt_restored_rows()", []);
    expect(pruned).toEqual([{ prune: "2", adopt_restored_rows: "0" }]);
    await query("select bellwire.notify('1', 'test', body => 'more')");
    expect((await stream.take(1))[0]?.data.body).toBe("more");
  },
  120_000,
);

/** Makes this the next transaction id. First it freezes all rows, so that they no longer depend on older ids. */
async function moveTo(postgres: Postgres, next: bigint): Promise<void> {
  await postgres.query("update pg_database set datallowconn = true");
  const databases = await postgres.query<{ datname: string }>("select datname from pg_database");
  for (const { datname } of databases) await postgres.query("vacuum freeze", [], datname);
  await postgres.stop("fast");
  const { dataDir } = postgres;
  const { uid, gid } = await stat(dataDir);
  const xid = BigInt.asUintN(32, next);
  // The server expects this page of the commit log.
  const segment = (xid >> 20n).toString(16).toUpperCase().padStart(4, "0");
  const page = join(dataDir, "pg_xact", segment);
  await writeFile(page, Buffer.alloc(262_144), { flag: "wx" });
  await chown(page, uid, gid);
  const account = uid === process.getuid?.() ? undefined : { name: "owner", uid, gid };
  await runAs(account, RESET_WAL, ["-x", `${xid}`, "-e", `${next >> 32n}`, "-D", dataDir]);
  await postgres.start();
}
