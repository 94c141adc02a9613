import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { Random } from "../../support/random.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { SENDER, type Written, write } from "./transaction.ts";

export interface WriterOptions {
  url: string;
  count?: number;
  /** Whole numbers. They become users of the marketplace, so that rules can notify them. */
  recipients: readonly string[];
  random: Random;
  /** The pause between two transactions of a writer. */
  pauseMs?: readonly [min: number, max: number];
}

export type Writers = Awaited<ReturnType<typeof startWriters>>;

/**
 * Many sessions that write all the time, roll back a third of their transactions, and reconnect after a cut. They log
 * each notification by its unique body: certainly committed, certainly rolled back, or unknown because the connection
 * ended before the answer to COMMIT. (The id would not do: after a crash a sequence may give the id of a row that was
 * not committed again.)
 */
export async function startWriters(options: WriterOptions) {
  const { url, count = 16, recipients, random, pauseMs = [0, 20] } = options;
  const prefix = randomBytes(4).toString("hex");
  /** The time of the answer to COMMIT, by `performance.now()`. */
  const committed = new Map<string, number>();
  const rolledBack = new Set<string>();
  const unknown = new Set<string>();
  /** The number of errors with each SQLSTATE or network error code. */
  const errors = new Map<string, number>();
  let bodies = 0;
  let isStopped = false;
  const nextBody = () => `${prefix}-${++bodies}`;

  async function run(random: Random) {
    let client: pg.Client | undefined;
    while (!isStopped) {
      const written: Written = { recipientId: random.pick(recipients), kept: [], undone: [] };
      try {
        client ??= await connect(url);
        await transact(client, written, random);
      } catch (err) {
        const code = err instanceof Error && "code" in err ? String(err.code) : String(err);
        errors.set(code, (errors.get(code) ?? 0) + 1);
        client?.end().catch(() => {}); // the server may be gone
        client = undefined;
        await delay(100);
      }
      await delay(random.between(...pauseMs));
    }
    await client?.end();
  }

  async function transact(client: pg.Client, written: Written, random: Random) {
    const { kept, undone } = written;
    let isCommitting = false;
    try {
      await client.query("begin");
      await write(client, written, random, nextBody);
      isCommitting = random.chance(0.7);
      const { command } = await client.query(isCommitting ? "commit" : "rollback");
      // PostgreSQL answers COMMIT with ROLLBACK if the transaction has failed.
      for (const body of kept)
        if (command === "COMMIT") committed.set(body, performance.now());
        else rolledBack.add(body);
    } catch (err) {
      for (const body of kept) (isCommitting ? unknown : rolledBack).add(body);
      throw err;
    } finally {
      for (const body of undone) rolledBack.add(body);
    }
  }

  await createUsers(url, recipients);
  const running = Array.from({ length: count }, () => run(random.fork()));

  /** Waits until every transaction has ended. */
  async function stop(): Promise<void> {
    isStopped = true;
    await Promise.all(running);
  }
  closeAfterTest(stop);

  return { committed, rolledBack, unknown, errors, stop, close: stop };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "writer",
    connectionTimeoutMillis: 5000,
    query_timeout: 60_000,
  });
  client.on("error", () => {}); // the query that waits, or the next one, rejects as well
  await client.connect();
  return client;
}

async function createUsers(url: string, recipients: readonly string[]): Promise<void> {
  const client = await connect(url);
  await client.query(
    `insert into public.users (id, name)
     overriding system value
     select id, 'User ' || id
       from unnest($1::bigint[]) as id
         on conflict do nothing`,
    [[...recipients, SENDER]],
  );
  await client.end();
}
