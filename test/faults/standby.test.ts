import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { REFUSAL } from "../support/event-source.ts";
import { createRandom } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { createEventReader, type StreamBlock } from "./support/event-reader.ts";
import { startForwarder } from "./support/forwarder.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { type ServiceProcess, startServiceProcess } from "./support/service-process.ts";
import { canStandBy, startStandby } from "./support/standby.ts";
import { openDatabase } from "./support/trial.ts";

const LISTENS_TO_STANDBY = "the LISTEN connection leads to a standby; it must lead to the primary";
const READS_STANDBY = "DATABASE_URL leads to a standby; it must lead to the primary";
const ANOTHER_HISTORY = "the database has another history; every stream is reset";
const NOT_LISTENING = "the LISTEN connection cannot be made or was lost";

test.skipIf(!canStandBy)(
  "a service on a standby opens no stream, and /readyz says why",
  async () => {
    const { postgres: primary, urlAt } = await openDatabase({ major: 15 });
    const standby = await startStandby({ primary });
    const forwarder = await startForwarder(standby.port);
    const service = await startServiceProcess({ databaseUrl: urlAt(forwarder.port) });

    expect((await fetch(`${service.url}/livez`)).status).toBe(200);
    await expect
      .poll(service.readiness, { timeout: 20_000 })
      .toMatchObject({ status: 503, body: { problems: [LISTENS_TO_STANDBY, READS_STANDBY] } });
    const metrics = await service.metrics();
    expect(metrics("bellwire_listener_up")).toBe(0);
    expect(metrics("bellwire_feed_up")).toBe(0);
    const response = await openStream(service);
    expect(response.status).toBe(200);
    expect(await response.text()).toMatch(REFUSAL);

    forwarder.pointTo(primary.port);
    forwarder.cutAll();
    await service.waitUntilReady(20_000);
    expect((await service.metrics())("bellwire_listener_up")).toBe(1);
    expect((await service.metrics())("bellwire_feed_up")).toBe(1);
    const lines = countLines(service);
    expect(lines.get(LISTENS_TO_STANDBY)).toBe(1);
    expect(lines.get(READS_STANDBY)).toBe(1);
    expect(lines.get("listening")).toBe(1);
    expect(lines.get("reading again")).toBe(1);
    expect(service.exits).toEqual([]);
  },
);

test.skipIf(!canStandBy)(
  "after a promotion every stream is reset and continues within 15 s",
  async () => {
    // Roles and passwords are the same on the standby, so only the port differs.
    const { postgres: primary, urlAt } = await openDatabase({ major: 15 });
    const replication = await startForwarder(primary.port);
    const standby = await startStandby({ primary, primaryPort: replication.port });
    const forwarder = await startForwarder(primary.port);
    const service = await startServiceProcess({
      databaseUrl: urlAt(forwarder.port),
      env: { SWEEP_MS: "600000" },
    });
    await service.waitUntilReady();
    const readers = await openReaders(service, {
      streams: 1,
      recipients: ["7"],
      random: createRandom(1),
    });
    async function send(port: number, body: string): Promise<string> {
      const id = await notify(urlAt(port), body);
      await readers.until(() => readers.deliveries.at(-1)?.body === body, 5000);
      return id;
    }

    const lastId = await send(primary.port, "on both");
    // The failover loses this row, and the new primary has not reached the position after it.
    replication.swallow();
    await send(primary.port, "on the old primary alone");
    const oldCursor = readers.deliveries.at(-1)?.cursor;
    await primary.stop("immediate");
    forwarder.pointTo(standby.port);
    await expect
      .poll(async () => (await service.readiness()).body.problems, { timeout: 20_000 })
      .toContain(LISTENS_TO_STANDBY);
    expect((await service.readiness()).status).toBe(503);
    expect((await service.metrics())("bellwire_listener_up")).toBe(0);
    expect(readers.resets).toEqual([]);
    await delay(20_000); // by then the pause between two attempts is at its maximum of 10 s

    const promotedAt = performance.now();
    await standby.promote();
    await readers.until(() => readers.resets.length > 0, 15_000 - (performance.now() - promotedAt));
    await send(standby.port, "on the new primary");
    const healMs = performance.now() - promotedAt;
    expect(healMs).toBeLessThan(15_000);
    await service.waitUntilReady();
    await send(standby.port, "the last");

    const resumedAt = performance.now();
    expect(await firstReset(service, oldCursor)).toMatchObject({ reason: "epoch_changed" });
    expect(performance.now() - resumedAt).toBeLessThan(2000);

    await readers.close();
    const since = { deliveries: readers.deliveries.slice(2), resets: [] };
    const verdict = await judge({
      postgresUrl: urlAt(standby.port),
      readers: { ...readers, ...since },
      since: lastId,
    });
    report({ fault: "standby promoted", verdict: { ...verdict, healMs } });
    expectExact(verdict, { minReconnects: 0 });
    expect(verdict).toMatchObject({ sent: 2, delivered: 2, reconnects: 0 });
    expect(readers.resets).toMatchObject([{ reason: "epoch_changed" }]);
    const lines = countLines(service);
    expect(lines.get(NOT_LISTENING)).toBe(1);
    expect(lines.get(LISTENS_TO_STANDBY)).toBe(1);
    expect(lines.get("listening")).toBe(2);
    expect(lines.get(ANOTHER_HISTORY)).toBe(1);
    expect(service.exits).toEqual([]);
  },
);

async function openStream({ url, token }: ServiceProcess, lastEventId?: string) {
  const headers = new Headers({ authorization: `Bearer ${await token("7")}` });
  if (lastEventId) headers.set("last-event-id", lastEventId);
  return await fetch(`${url}/api/notifications/stream`, {
    headers,
    signal: AbortSignal.timeout(15_000),
  });
}

/** The reset that a stream from this position gets. */
async function firstReset(service: ServiceProcess, lastEventId: string | undefined) {
  const blocks: StreamBlock[] = [];
  const read = createEventReader((block) => blocks.push(block));
  const { body } = await openStream(service, lastEventId);
  for await (const bytes of body ?? []) {
    read(Buffer.from(bytes));
    const reset = blocks.find(({ event }) => event === "reset");
    if (reset) return JSON.parse(reset.data ?? "");
  }
}

async function notify(url: string, body: string): Promise<string> {
  const client = await openClient(url);
  const { rows } = await client.query<{ id: string }>(
    "select bellwire.notify('7', 'test', body => $1) as id",
    [body],
  );
  return rows[0]?.id ?? "";
}

/** How often the log has each line. A problem counts by its sentence. */
function countLines(service: ServiceProcess): Map<unknown, number> {
  const counts = new Map<unknown, number>();
  for (const { msg, problem = msg } of service.logs())
    counts.set(problem, (counts.get(problem) ?? 0) + 1);
  return counts;
}
