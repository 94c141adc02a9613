import { Agent, get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectExact } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { closeAfterTest } from "./support/close-after-test.ts";
import { startLoop } from "./support/loop.ts";
import type { Postgres } from "./support/postgres.ts";
import { p99 } from "./support/probe.ts";
import { createRawReaders, type RawReader } from "./support/raw-stream.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";

const STREAMS = 2000;
const RECIPIENTS = Array.from({ length: 200 }, (_, i) => `${i + 1}`);
/** A tenth gets rows while the service is down. */
const SENT_TO = RECIPIENTS.slice(0, 20);
const DATABASE_POOL_SIZE = 10;
const DOWN_MS = 3000;

test("2000 streams reconnect within 30 s after a crash and get what they missed, and the database has no more connections than usual", async () => {
  const { postgres, databaseUrl, service, judge } = await openTrial({
    env: { MAX_STREAMS_PER_RECIPIENT: "50", DATABASE_POOL_SIZE: `${DATABASE_POOL_SIZE}` },
  });
  const { readers, deliveries, log } = await createRawReaders(service, RECIPIENTS, STREAMS);
  const clients = await keepOpen(readers);
  await write(databaseUrl, RECIPIENTS, 1);
  await expect.poll(() => deliveries.length, { timeout: 60_000 }).toBe(STREAMS);

  const backends = await watchBackends(postgres);
  const kept = await watchRequests(service, { keepAlive: true });
  const fresh = await watchRequests(service, { keepAlive: false });
  expect((await service.kill("SIGKILL")).signal).toBe("SIGKILL");
  await expect.poll(() => clients.open()).toBe(0);
  await write(databaseUrl, SENT_TO, 5);
  await delay(DOWN_MS);
  await service.start();
  const upAt = performance.now();
  await expect.poll(() => clients.open(), { timeout: 30_000, interval: 100 }).toBe(STREAMS);
  const resumedMs = performance.now() - upAt;
  await backends.close();
  await Promise.all([kept.close(), fresh.close()]);
  expect((await service.metrics())("bellwire_streams")).toBe(STREAMS);

  const verdict = await judge({ readers: log, timeoutMs: 60_000 });
  report({ fault: "reconnect storm", verdict });
  console.log(
    `  all ${STREAMS} resumed ${(resumedMs / 1000).toFixed(1)} s after it was up; ` +
      `${backends.most()} connections to the database at most; p99 of requests meanwhile: ` +
      `${kept.p99().toFixed(0)} ms (${kept.answers.length}), ` +
      `with a connection for each ${fresh.p99().toFixed(0)} ms (${fresh.answers.length})`,
  );

  expectExact(verdict, { minReconnects: STREAMS });
  const statuses = new Set(log.readers.flatMap((reader) => [...reader.statuses.keys()]));
  expect([...statuses]).toEqual([200]);
  expect(backends.most()).toBeLessThanOrEqual(DATABASE_POOL_SIZE + 3);
  for (const { answers } of [kept, fresh])
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  // A new connection waits behind those of the streams. A proxy keeps its connections, so its requests do not.
  expect(kept.answers.length).toBeGreaterThan(50);
  expect(kept.p99()).toBeLessThan(1000);
  expect(service.exits).toEqual([]);
});

/** Opens them, and again each time after the `retry` that they were told. */
async function keepOpen(clients: readonly RawReader[]) {
  const ready = new Set<RawReader>();
  let isClosed = false;

  async function run(client: RawReader) {
    while (!isClosed) {
      const isReady = await client.open().then(
        () => true,
        () => false,
      );
      if (isReady) ready.add(client);
      await client.ended();
      ready.delete(client);
      await delay(client.retryMs());
    }
  }

  const running = clients.map(run);
  closeAfterTest(async () => {
    isClosed = true;
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(running);
  });
  await expect.poll(() => ready.size, { timeout: 60_000 }).toBe(STREAMS);
  return { open: () => ready.size };
}

async function write(url: string, recipients: readonly string[], each: number): Promise<void> {
  const client = await openClient(url);
  await client.query(
    `select bellwire.notify(r, 'test', body => 'number ' || i)
       from unnest($1::text[]) as r, generate_series(1, $2) as i`,
    [recipients, each],
  );
}

/** Counts the connections of the service's pools all the time. */
async function watchBackends(postgres: Postgres) {
  const client = await openClient(postgres.url());
  let most = 0;
  const { close } = startLoop(async () => {
    const { rows } = await client.query<{ count: number }>(
      "select count(*)::int from pg_stat_activity where application_name = 'bellwire'",
    );
    most = Math.max(most, rows[0]?.count ?? 0);
    await delay(100);
  });
  return { most: () => most, close };
}

/** Measures the requests of one user. With kept connections the first request of each is not counted. */
async function watchRequests(service: ServiceProcess, { keepAlive }: { keepAlive: boolean }) {
  const agent = new Agent({ keepAlive });
  const token = await service.token("somebody else");
  const answers: { status: number | undefined; ms: number }[] = [];
  const loops = Array.from({ length: 4 }, () =>
    startLoop(async () => {
      const from = performance.now();
      const answer = await ask(`${service.url}/api/notifications/unread-count`, agent, token);
      const ms = performance.now() - from;
      if (answer?.isReused === keepAlive) answers.push({ status: answer.status, ms });
      await delay(10);
    }),
  );
  async function close(): Promise<void> {
    await Promise.all(loops.map((loop) => loop.close()));
    agent.destroy();
  }
  return { answers, p99: () => p99(answers.map(({ ms }) => ms)), close };
}

/** Undefined without an answer, because the service is down. */
function ask(url: string, agent: Agent, token: string) {
  return new Promise<{ status: number | undefined; isReused: boolean } | undefined>((resolve) => {
    const asking = get(url, { agent, headers: { authorization: `Bearer ${token}` } }, (response) =>
      response.resume().on("end", () => {
        resolve({ status: response.statusCode, isReused: asking.reusedSocket });
      }),
    );
    asking.on("error", () => resolve(undefined));
  });
}
