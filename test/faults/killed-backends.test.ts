import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";
import { startWriters } from "./support/writers.ts";

const FAULT_MS = 60_000;
const RECIPIENTS = Array.from({ length: 10 }, (_, i) => `${i + 1}`);

const [seed = 0] = seeds();

test("a minute in which no session lives longer than a blink ends no process, and heals", async () => {
  const random = createRandom(seed);
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({
    databaseUrl,
    env: { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
  });
  await service.waitUntilReady();
  const pid = service.pid();
  const readers = await startReaders({
    streams: 20,
    recipients: RECIPIENTS,
    addresses: () => service.url,
    token: service.token,
    random: random.fork(),
    cutAfterBytes: [200, 6000],
  });
  await readers.ready();
  const writers = await startWriters({
    url: databaseUrl,
    count: 4,
    recipients: RECIPIENTS,
    random: random.fork(),
    pauseMs: [20, 80],
  });
  const visitor = startVisitor(service, await service.token("1"));

  let killed = 0;
  for (const endsAt = performance.now() + FAULT_MS; performance.now() < endsAt; ) {
    const rows = await postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('bellwire', 'bellwire listener')",
    );
    killed += rows.length;
    await delay(random.between(50, 200));
  }
  expect(killed).toBeGreaterThan(300);
  const faultEndedAt = performance.now();
  await service.waitUntilReady(20_000);
  const readyMs = performance.now() - faultEndedAt;
  expect((await service.metrics())("bellwire_listener_up")).toBe(1);
  const answers = await visitor.close();
  await writers.stop();

  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 30_000 });
  await readers.close();
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers, faultEndedAt });
  report({ fault: "killed backends", seed, verdict });
  console.log(
    `  ${killed} killed, ready after ${Math.round(readyMs)} ms; answered ${count(answers)}`,
  );
  expect(service.exits).toEqual([]);
  expect(service.pid()).toBe(pid);
  expect(service.said()).toBe("");
  // Told, but not so that it ends the process or asks for a restart.
  expect(answers.get("GET /metrics 200")).toBe(answers.get("GET /livez 200"));
  expect(answers.get("GET /readyz 503")).toBeGreaterThan(0);
  expectAlternating(service, "listening", "not listening");
  expectAlternating(service, "reading again", "cannot read; trying again at every sweep");
  expectExact(verdict, { minReconnects: 20 });
});

/** Reads and changes the inbox and asks as operators do, all along; how often each answered what. */
function startVisitor({ url, metricsUrl }: ServiceProcess, token: string) {
  const answers = new Map<string, number>();
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  let isClosed = false;
  async function ask(method: "GET" | "POST", address: string) {
    const { status } = await fetch(address, { method, headers });
    const answer = `${method} ${new URL(address).pathname} ${status}`;
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
  async function run() {
    while (!isClosed) {
      await ask("GET", `${url}/api/notifications`);
      await ask("GET", `${url}/api/notifications/unread-count`);
      await ask("POST", `${url}/api/notifications/mark-all-read`);
      await ask("GET", `${url}/readyz`);
      await ask("GET", `${url}/livez`);
      await ask("GET", metricsUrl);
      await delay(50);
    }
  }
  const running = run();
  async function close(): Promise<ReadonlyMap<string, number>> {
    isClosed = true;
    await running;
    return answers;
  }
  onTestFinished(async () => void (await close()));
  return { close };
}

const count = (answers: ReadonlyMap<string, number>) =>
  [...answers].map(([answer, times]) => `${times} × ${answer}`).join(", ");

/** Each end of a good state was told, and each beginning, and neither twice; it is good now. */
function expectAlternating(service: ServiceProcess, good: string, bad: string): void {
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === good || msg === bad);
  const isGoodFirst = changes[0] === good;
  const expected = changes.map((_, i) => ((i % 2 === 0) === isGoodFirst ? good : bad));
  expect(changes).toEqual(expected);
  expect(changes.at(-1) ?? good).toBe(good);
}
