import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { createMigrated, startPostgres } from "../faults/support/postgres.ts";
import { startServiceProcess } from "../faults/support/service-process.ts";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { buildClients, type Client } from "./support/clients.ts";
import { runClient } from "./support/run.ts";

const ROWS = 20;
/** Enough for the slowest client: requests-sse doubles the retry time, and doubles it again after each failure. */
const SETTLE_MS = 60_000;

let clients: Client[];
beforeAll(async () => {
  clients = await buildClients();
});

test.each<[string, undefined | ((url: string) => { locations: string; http?: string })]>([
  ["direct", undefined],
  [
    "through Debian's nginx with its defaults",
    (url) => ({ locations: `location / { proxy_pass ${url}; }` }),
  ],
  [
    "through deploy/nginx/bellwire.conf",
    (url) => ({
      locations: `${readFileSync("deploy/nginx/bellwire.conf", "utf8")}\nlocation / { proxy_pass ${url}; }`,
      http: `upstream bellwire { server ${url.slice("http://".length)}; keepalive 64; }`,
    }),
  ],
])("each client gets each of 60 rows once, in order, over a restart: %s", async (_, nginxAt) => {
  if (nginxAt && !hasNginx) return console.warn("No nginx: apt-get install nginx. Skipped.");
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  const service = await startServiceProcess({ databaseUrl, env: { JWT_COOKIE: "session" } });
  await service.waitUntilReady();
  const nginx = nginxAt ? await startNginx(nginxAt(service.url)) : undefined;
  const { url } = nginx ?? service;

  const recipients = clients.map((_, i) => `${i + 1}`);
  /** One row for each recipient, in each of `count` transactions. */
  async function write(count: number) {
    const sql = "select bellwire.notify(id, 'note', title => 'Hello') from unnest($1::text[]) id";
    for (let i = 0; i < count; i++) await postgres.query(sql, [recipients], "bellwire");
  }

  const running = await Promise.all(
    clients.map(async (client, i) =>
      runClient(client, { url, token: await service.token(recipients[i] ?? "") }),
    ),
  );
  /** False if not every client has this many lines in time. */
  const all = (count: number, timeout: number) =>
    expect
      .poll(() => running.every(({ lines }) => lines.length >= count), { timeout })
      .toBe(true)
      .then(
        () => true,
        () => false,
      );
  await expect
    .poll(async () => (await service.metrics())("bellwire_streams"), { timeout: 60_000 })
    .toBe(clients.length);

  await write(ROWS);
  await all(ROWS, 20_000);
  await service.kill("SIGTERM");
  await write(ROWS);
  // While its database is unavailable the service answers, and asks every client to come later.
  await postgres.stop("fast");
  await service.start();
  const refused = async () =>
    (await service.metrics())("bellwire_stream_refusals_total", { reason: "unavailable" });
  await expect.poll(refused, { timeout: 20_000 }).toBeGreaterThanOrEqual(clients.length);
  await postgres.start();
  await service.waitUntilReady();
  await write(ROWS);
  await all(3 * ROWS, SETTLE_MS);
  // The next notification shows that nothing else came before it.
  await write(1);
  await all(3 * ROWS + 1, 10_000);

  for (const [i, { client, lines, said }] of running.entries()) {
    const rows = await postgres.query<{ id: string }>(
      "select id from bellwire.notifications where recipient_id = $1 order by id",
      [recipients[i]],
      "bellwire",
    );
    const got = lines.map((line) => JSON.parse(line).id);
    expect.soft(got, `${client.name} ${said()}`).toEqual(rows.map(({ id }) => id));
  }
});
