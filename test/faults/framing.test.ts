import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { PROXIES } from "./support/proxies.ts";
import { startPythonClients } from "./support/python-clients.ts";
import { type OpenStream, openWithCurl, type SeenEvent } from "./support/seen-stream.ts";
import { startServiceProcess } from "./support/service-process.ts";

/** What may pass until an event is seen; the quickest of three counts, since the machine does other things, too. */
const LIMIT_MS = 300;
const TRIES = 3;
/** From then on it is never. */
const PATIENCE_MS = 3000;

test("`ready`, a live event and the first row of a resume are seen at once, by every client behind every proxy", async () => {
  const postgres = await startPostgres();
  const service = await startServiceProcess({
    databaseUrl: await createMigrated(postgres),
    // Nothing comes behind an event to push it out.
    env: { HEARTBEAT_SECONDS: "3600", PING_SECONDS: "3600" },
  });
  await service.waitUntilReady();
  const notify = (recipientId: string, title: string, body = "") =>
    postgres.query(
      "select bellwire.notify($1, 'test', title => $2, body => $3)",
      [recipientId, title, body],
      "bellwire",
    );
  const clients: Record<string, OpenStream> = {
    curl: openWithCurl(),
    "a browser's headers": openWithCurl({ asBrowser: true }),
    ...(await startPythonClients()),
  };

  async function measure(open: OpenStream, url: string, recipientId: string) {
    const token = await service.token(recipientId);
    const address = `${url}/api/notifications/stream`;
    const watch = async (lastEventId?: string) => {
      const events: SeenEvent[] = [];
      const { openedAt, close } = await open(address, token, lastEventId, (event) =>
        events.push(event),
      );
      const find = (wanted: string) =>
        events.find(({ event, data }) =>
          wanted === "ready" ? event === wanted : data?.includes(`"title":"${wanted}"`),
        );
      const seen = async (wanted: string) => {
        const end = Date.now() + PATIENCE_MS;
        while (!find(wanted) && Date.now() < end) await delay(5);
        return find(wanted);
      };
      return { openedAt, close, seen };
    };
    const times = { ready: [] as number[], live: [] as number[], resumed: [] as number[] };
    const note = (kind: keyof typeof times, event: SeenEvent | undefined, since: number) =>
      times[kind].push(event ? event.at - since : Number.POSITIVE_INFINITY);

    let stream = await watch();
    note("ready", await stream.seen("ready"), stream.openedAt);
    for (let i = 1; i < TRIES; i++) {
      stream.close();
      stream = await watch();
      note("ready", await stream.seen("ready"), stream.openedAt);
    }
    let position: string | undefined;
    for (let i = 0; i < TRIES; i++) {
      const writtenAt = Date.now();
      await notify(recipientId, `live ${i}`);
      const event = await stream.seen(`live ${i}`);
      note("live", event, writtenAt);
      position ??= event?.id;
    }
    stream.close();
    // Several KB in one write: Caddy compresses from 512 bytes on.
    for (let i = 0; i < 5; i++) await notify(recipientId, `missed ${i}`, "x".repeat(1000));
    for (let i = 0; i < TRIES && position; i++) {
      const resumed = await watch(position);
      note("resumed", await resumed.seen("live 1"), resumed.openedAt);
      resumed.close();
    }
    return Object.values(times).map((all) => Math.min(...all));
  }

  const late: string[] = [];
  const ways = { direct: (_: number) => Promise.resolve(service.url), ...PROXIES };
  for (const [proxy, start] of Object.entries(ways)) {
    if (!start) {
      console.warn(`Skipped: ${proxy} is not installed.`);
      continue;
    }
    const url = await start(service.port);
    const measured = await Promise.all(
      Object.entries(clients).map(async ([client, open]) => {
        const figures = await measure(open, url, `${client} behind ${proxy}`);
        return [client, figures] as const;
      }),
    );
    for (const [client, figures] of measured) {
      const said = figures.map((ms) => (ms === Number.POSITIVE_INFINITY ? "never" : ms.toFixed(0)));
      const line = `${proxy.padEnd(44)}${client.padEnd(26)}ready, live, resumed: ${said.join(", ")} ms`;
      console.log(line);
      if (figures.some((ms) => !(ms <= LIMIT_MS))) late.push(line);
    }
  }
  expect(late).toEqual([]);
  expect(service.exits).toEqual([]);
});
