import { connect as connectTo, createServer, type Socket } from "node:net";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { createListener } from "../../src/db/listener.ts";
import { createPool } from "../../src/db/pool.ts";
import { createLogger } from "../../src/logger.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const log = createLogger("silent");

function startListener(url: string) {
  const pool = createPool({ url: database.url, size: 2, log });
  let wakeUps = 0;
  let listened = 0;
  const listener = createListener({
    url,
    pool,
    log,
    probeMs: 100,
    probeTimeoutMs: 500,
    onWakeUp: () => wakeUps++,
    onListening: () => listened++,
  });
  onTestFinished(async () => {
    await listener.close();
    await pool.end();
  });
  const isListening = () => listener.problem() === undefined;
  return { ...listener, isListening, wakeUps: () => wakeUps, listened: () => listened };
}

const wake = () => database.query("select bellwire.notify('1', 'test')");

/** A TCP proxy that can stop forwarding without closing a connection, as a dead network does. */
async function startProxy(target: string) {
  const { port, hostname } = new URL(target);
  let isHole = false;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectTo(Number(port), hostname);
    sockets.add(client).add(upstream);
    client.on("data", (data) => isHole || upstream.write(data));
    upstream.on("data", (data) => isHole || client.write(data));
    for (const socket of [client, upstream]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        if (isHole) return;
        client.destroy();
        upstream.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = new URL(target);
  url.port = String((server.address() as { port: number }).port);
  return {
    url: url.href,
    swallow: () => {
      isHole = true;
    },
    heal: () => {
      isHole = false;
    },
  };
}

test("hears a wake-up, and counts as listening when it has heard its first probe", async () => {
  const listener = startListener(database.url);
  await expect.poll(listener.isListening).toBe(true);
  expect(listener.listened()).toBe(1);
  await wake();
  await expect.poll(listener.wakeUps).toBe(1);
});

test("listens again after its backend was ended, and reports that, so that missed rows are read", async () => {
  const listener = startListener(database.url);
  await expect.poll(listener.isListening).toBe(true);
  for (let round = 2; round <= 4; round++) {
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'bellwire listener' and datname = current_database()`,
    );
    await expect.poll(listener.listened, { timeout: 10_000 }).toBe(round);
    await expect.poll(listener.isListening).toBe(true);
  }
  const before = listener.wakeUps();
  await wake();
  await expect.poll(listener.wakeUps).toBeGreaterThan(before);
});

test("notices a connection that died silently, and makes a new one", async () => {
  const proxy = await startProxy(database.url);
  const listener = startListener(proxy.url);
  await expect.poll(listener.isListening).toBe(true);
  proxy.swallow();
  await expect.poll(listener.isListening, { timeout: 10_000 }).toBe(false);
  proxy.heal();
  await expect.poll(listener.isListening, { timeout: 20_000 }).toBe(true);
  const before = listener.wakeUps();
  await wake();
  await expect.poll(listener.wakeUps).toBeGreaterThan(before);
});

test("keeps trying, and never throws, while no server answers", async () => {
  const lost = new URL(database.url);
  lost.port = "1";
  const listener = startListener(lost.href);
  expect(listener.isListening()).toBe(false);
  await listener.close();
});

test("takes any payload for a wake-up, and a forged probe for nothing", async () => {
  const listener = startListener(database.url);
  await expect.poll(listener.isListening).toBe(true);
  for (const payload of ["", "{", "probe:", "probe:forged", "x".repeat(7999), "\u{1f600}"])
    await database.query("select pg_notify('bellwire', $1)", [payload]);
  await expect.poll(listener.wakeUps).toBeGreaterThanOrEqual(4);
  expect(listener.isListening()).toBe(true);
});
