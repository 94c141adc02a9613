import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { startLoop } from "./support/loop.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const FAULT_MS = 60_000;
const RECIPIENTS = Array.from({ length: 10 }, (_, i) => `${i + 1}`);

const [seed = 0] = seeds();

test("sessions that are killed at once for a minute end no process, and all is delivered afterwards", async () => {
  const random = createRandom(seed);
  const { postgres, databaseUrl, service, judge } = await openTrial({
    env: { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" },
  });
  const pid = service.pid();
  const readers = await openReaders(service, {
    streams: 20,
    recipients: RECIPIENTS,
    random: random.fork(),
    cutAfterBytes: [200, 6000],
  });
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
  await visitor.close();
  const { answers } = visitor;
  await writers.stop();

  const verdict = await judge({ readers, writers, faultEndedAt, timeoutMs: 30_000 });
  report({ fault: "killed backends", seed, verdict });
  console.log(
    `  ${killed} killed, ready after ${Math.round(readyMs)} ms; answered ${count(answers)}`,
  );
  expect(service.exits).toEqual([]);
  expect(service.pid()).toBe(pid);
  expect(service.said()).toBe("");
  // The service reports it, but its process stays alive.
  expect(answers.get("GET /metrics 200")).toBe(answers.get("GET /livez 200"));
  expect(answers.get("GET /readyz 503")).toBeGreaterThan(0);
  expectAlternating(service, "listening", "not listening");
  expectAlternating(service, "reading again", "cannot read; trying again at every sweep");
  expectExact(verdict, { minReconnects: 20 });
});

/** Reads and changes the inbox and asks what operators ask, all the time. Returns how often each answer came. */
function startVisitor({ url, metricsUrl }: ServiceProcess, token: string) {
  const answers = new Map<string, number>();
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  async function ask(method: "GET" | "POST", address: string) {
    const { status } = await fetch(address, { method, headers });
    const answer = `${method} ${new URL(address).pathname} ${status}`;
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
  const { close } = startLoop(async () => {
    await ask("GET", `${url}/api/notifications`);
    await ask("GET", `${url}/api/notifications/unread-count`);
    await ask("POST", `${url}/api/notifications/mark-all-read`);
    await ask("GET", `${url}/readyz`);
    await ask("GET", `${url}/livez`);
    await ask("GET", metricsUrl);
    await delay(50);
  });
  return { answers, close };
}

const count = (answers: ReadonlyMap<string, number>) =>
  [...answers].map(([answer, times]) => `${times} × ${answer}`).join(", ");

/** The log reports each change of a state once, and the last one is good. */
function expectAlternating(service: ServiceProcess, good: string, bad: string): void {
  const said = service.logs().map(({ msg }) => msg);
  const changes = said.filter((msg) => msg === good || msg === bad);
  const isGoodFirst = changes[0] === good;
  const expected = changes.map((_, i) => ((i % 2 === 0) === isGoodFirst ? good : bad));
  expect(changes).toEqual(expected);
  expect(changes.at(-1) ?? good).toBe(good);
}
