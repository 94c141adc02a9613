import pg from "pg";
import { inTurn, ROUNDS, ratioGoal } from "./compare.ts";
import { cleanUp, query, startBellwire } from "./contenders.ts";
import { USUAL_TRIGGER } from "./peers/express-sse.ts";
import { findPgbench, NO_PGBENCH, ONE_MESSAGE, runPgbench, SEED_USERS } from "./pgbench.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, startDatabase } from "./service.ts";

const SECONDS = 8;
const WRITERS = [1, 16, 64];
/** Streams of the service, while its cost for the writers is measured. */
const STREAMS = 10;

/** The cost of notifications for writers: single-row inserts at full speed, each variant with one more part. */
export async function writers(): Promise<Result> {
  const database = await startDatabase();
  const pgbench = await findPgbench();
  const result: Result = {
    scenario: "writers",
    what: `${WRITERS.join(", ")} writers insert single rows into the marketplace's messages, as fast as they can. ${ROUNDS} rounds of ${SECONDS} s for each number of writers.`,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  if (pgbench) await measure(database, pgbench, result);
  else result.notes.push(NO_PGBENCH);
  await database.close();
  return result;
}

async function measure(database: Database, pgbench: string, { figures, goals, notes }: Result) {
  const urls = {
    "no trigger": await database.addDatabase("plain"),
    "row only": await database.addDatabase("row_only", ["sql/rules"]),
    "the usual trigger": await database.addDatabase("usual"),
    Bellwire: database.url,
  };
  for (const url of Object.values(urls)) await query(url, SEED_USERS);
  await query(urls["row only"], "select bellwire.suspend_wakeups()");
  await query(urls["the usual trigger"], USUAL_TRIGGER);
  const listener = new pg.Client(urls["the usual trigger"]);
  await listener.connect();
  await listener.query("listen usual");
  const bellwire = await startBellwire(urls.Bellwire, STREAMS);

  const run = async (url: string, clients: number, seconds: number) => {
    await cleanUp(url);
    const until = { seconds };
    return await runPgbench({ pgbench, url, script: ONE_MESSAGE, clients, until });
  };
  for (const url of Object.values(urls)) await run(url, Math.max(...WRITERS), 1);
  for (let round = 0; round < ROUNDS; round++)
    for (const clients of WRITERS)
      for (const [contender, url] of inTurn(Object.entries(urls), round)) {
        const { perSecond } = await run(url, clients, SECONDS);
        addRound(figures, contender, { [`inserts/s, ${name(clients)}`]: perSecond });
      }
  await bellwire.close();
  await listener.end();

  const goal = (clients: number, other: string, words: string, atLeast: number) => {
    const figure = `inserts/s, ${name(clients)}`;
    const text = `inserts of ${name(clients)} against ${words}`;
    goals.push(ratioGoal(figures, text, ["Bellwire", figure], [other, figure], { atLeast }));
  };
  goal(64, "row only", "the same rows without any NOTIFY", 0.95);
  goal(64, "the usual trigger", "the usual trigger", 2.5);
  goal(1, "the usual trigger", "the usual trigger", 0.95);
  notes.push(
    "Row only: the marketplace's rules with wake-ups suspended for good, without the service. The usual trigger: a trigger for each row writes the same notification into a table with the same columns and indexes, and sends it with `pg_notify(row_to_json)`; one session listens. " +
      `Bellwire: the marketplace's rules, and the service with ${STREAMS} streams open, on the same machine.`,
  );
}

const name = (clients: number) => (clients === 1 ? "1 writer" : `${clients} writers`);
