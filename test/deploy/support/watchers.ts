import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { EventSource } from "eventsource";
import pg from "pg";
import { expect, onTestFinished } from "vitest";
import { startLoop } from "../../faults/support/loop.ts";
import type { Reachable } from "../../support/service.ts";

/** A recipient's page with a plain EventSource, as the HTML standard has it: it gives up for good on any status except 200. */
interface Watcher {
  recipientId: string;
  /** The ids of the notifications that it got, in order. */
  ids: string[];
  lastAt: number;
  longestSilenceMs: number;
}

export interface WatchersOptions {
  /** The URL of the service or of the proxy before it. */
  url: string;
  token: Reachable["token"];
  databaseUrl: string;
  /** How many, each with a recipient of its own. */
  count: number;
  /** Instead of Node's, for what it cannot do, such as HTTP/2. */
  fetchWith?: typeof fetch;
}

/**
 * Opens streams, and writes a row for each of them every 25 ms from now on, so that a silence is one of the stream. Ends with the test.
 */
export async function openWatchers(options: WatchersOptions) {
  const { url, token, databaseUrl, count, fetchWith = fetch } = options;
  const recipients = Array.from({ length: count }, (_, i) => `${randomUUID()} ${i + 1}`);
  const watchers = await Promise.all(
    recipients.map(async (recipientId): Promise<Watcher> => {
      const authorization = `Bearer ${await token(recipientId, 3600)}`;
      const source = new EventSource(`${url}/api/notifications/stream`, {
        fetch: (input, init) =>
          fetchWith(input, { ...init, headers: { ...init.headers, authorization } }),
      });
      onTestFinished(() => source.close());
      // It has a position then, which being open does not mean.
      const ready = new Promise((resolve) => source.addEventListener("ready", resolve));
      const watcher = { recipientId, ids: [] as string[], lastAt: 0, longestSilenceMs: 0 };
      source.addEventListener("notification", ({ data }) => {
        const now = performance.now();
        if (watcher.lastAt > 0)
          watcher.longestSilenceMs = Math.max(watcher.longestSilenceMs, now - watcher.lastAt);
        watcher.lastAt = now;
        watcher.ids.push(JSON.parse(data).id);
      });
      await ready;
      return watcher;
    }),
  );

  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  onTestFinished(() => client.end());
  const write = () =>
    client.query("select bellwire.notify(id, 'test') from unnest($1::text[]) id", [recipients]);
  const writing = startLoop(async () => {
    await write();
    await delay(25);
  });
  const haveAll = () => expect.poll(() => watchers.every(({ ids }) => ids.length > 0)).toBe(true);
  await haveAll();

  return {
    /** Resolves when every watcher got a row that was written after this call. */
    async hearAgain(): Promise<void> {
      const from = performance.now();
      const haveHeard = () => watchers.every(({ lastAt }) => lastAt > from);
      await expect.poll(haveHeard, { timeout: 30_000 }).toBe(true);
    },

    /** Stops writing, and checks that each watcher got each of its rows once, in order. Returns the longest silence of any of them. */
    async finish(): Promise<number> {
      await writing.close();
      await write();
      const { rows } = await client.query<{ recipient_id: string; ids: string[] }>(
        `select recipient_id, array_agg(id::text order by id) as ids
           from bellwire.notifications
          where recipient_id = any ($1)
          group by recipient_id`,
        [recipients],
      );
      const written = new Map(rows.map(({ recipient_id, ids }) => [recipient_id, ids]));
      const last = ({ recipientId }: Watcher) => written.get(recipientId)?.at(-1);
      await expect
        .poll(() => watchers.every((watcher) => watcher.ids.at(-1) === last(watcher)))
        .toBe(true);
      for (const { recipientId, ids } of watchers)
        expect(ids, recipientId).toEqual(written.get(recipientId));
      return Math.max(...watchers.map(({ longestSilenceMs }) => longestSilenceMs));
    },
  };
}
