import { Agent, get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { expectExact, judge } from "./support/checker.ts";
import { closeAfterTest } from "./support/close-after-test.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";
import { createRawReader, type RawReader } from "./support/raw-stream.ts";
import type { Delivery } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const STREAMS = 2000;
const RECIPIENTS = Array.from({ length: 200 }, (_, i) => `${i + 1}`);
/** A tenth was sent something while the service was down. */
const SENT_TO = RECIPIENTS.slice(0, 20);
const DATABASE_POOL_SIZE = 10;
const DOWN_MS = 3000;

test("2000 streams come back within 30 s of a crash, with what they missed, and the database hardly notices", async () => {
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({
    databaseUrl,
    env: { MAX_STREAMS_PER_RECIPIENT: "50", DATABASE_POOL_SIZE: `${DATABASE_POOL_SIZE}` },
  });
  await service.waitUntilReady();
  const deliveries: Delivery[] = [];
  const clients = await openClients(service, deliveries);
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

  const log = { readers: clients.readers, deliveries, resets: [] };
  await settle({ postgresUrl: databaseUrl, readers: log, timeoutMs: 60_000 });
  const verdict = await judge({ postgresUrl: databaseUrl, readers: log });
  report({ fault: "reconnect storm", verdict });
  console.log(
    `  all ${STREAMS} resumed ${(resumedMs / 1000).toFixed(1)} s after it was up; ` +
      `${backends.most()} connections to the database at most; p99 of requests meanwhile: ` +
      `${kept.p99().toFixed(0)} ms (${kept.answers.length}), ` +
      `with a connection for each ${fresh.p99().toFixed(0)} ms (${fresh.answers.length})`,
  );

  expectExact(verdict, { minReconnects: STREAMS });
  const statuses = new Set(clients.readers.flatMap((reader) => [...reader.statuses.keys()]));
  expect([...statuses]).toEqual([200]);
  expect(backends.most()).toBeLessThanOrEqual(DATABASE_POOL_SIZE + 3);
  for (const { answers } of [kept, fresh])
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  // A new connection waits behind those of the streams, as in any queue; a proxy's does not.
  expect(kept.answers.length).toBeGreaterThan(50);
  expect(kept.p99()).toBeLessThan(1000);
  expect(service.exits).toEqual([]);
});

/** Clients that come again when they were told to, for as long as the test runs. */
async function openClients(service: ServiceProcess, deliveries: Delivery[]) {
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

  const clients: RawReader[] = [];
  for (let i = 0; i < STREAMS; i++) {
    const recipientId = RECIPIENTS[i % RECIPIENTS.length] as string;
    const token = await service.token(recipientId);
    const name = `client ${i + 1}`;
    clients.push(createRawReader({ name, recipientId, token, address: service.url, deliveries }));
  }
  const running = clients.map(run);
  closeAfterTest(async () => {
    isClosed = true;
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(running);
  });
  await expect.poll(() => ready.size, { timeout: 60_000 }).toBe(STREAMS);
  return { readers: clients.map(({ reader }) => reader), open: () => ready.size };
}

async function write(url: string, recipients: readonly string[], each: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    `select bellwire.notify(r, 'test', body => 'number ' || i)
       from unnest($1::text[]) as r, generate_series(1, $2) as i`,
    [recipients, each],
  );
  await client.end();
}

/** How many connections the service's pools have, all the time. */
async function watchBackends(postgres: Postgres) {
  const client = new pg.Client({ connectionString: postgres.url() });
  await client.connect();
  let most = 0;
  let isClosed = false;
  const running = (async () => {
    while (!isClosed) {
      const { rows } = await client.query<{ count: number }>(
        "select count(*)::int from pg_stat_activity where application_name = 'bellwire'",
      );
      most = Math.max(most, rows[0]?.count ?? 0);
      await delay(100);
    }
    await client.end();
  })();
  running.catch(() => {}); // `close` tells
  async function close(): Promise<void> {
    isClosed = true;
    await running;
  }
  closeAfterTest(close);
  return { most: () => most, close };
}

/** How long one user's requests take; over connections that are kept, the first of each is not counted. */
async function watchRequests(service: ServiceProcess, { keepAlive }: { keepAlive: boolean }) {
  const agent = new Agent({ keepAlive });
  const token = await service.token("somebody else");
  const answers: { status: number | undefined; ms: number }[] = [];
  let isClosed = false;

  async function run() {
    while (!isClosed) {
      const from = performance.now();
      const answer = await ask(`${service.url}/api/notifications/unread-count`, agent, token);
      const ms = performance.now() - from;
      if (answer?.isReused === keepAlive) answers.push({ status: answer.status, ms });
      await delay(10);
    }
  }

  const running = Array.from({ length: 4 }, run);
  async function close(): Promise<void> {
    isClosed = true;
    await Promise.all(running);
    agent.destroy();
  }
  closeAfterTest(close);
  return { answers, p99: () => p99(answers.map(({ ms }) => ms)), close };
}

/** Undefined where there is no answer: the service is down. */
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

const p99 = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN;
