import { setTimeout as delay } from "node:timers/promises";
import { openEventSources } from "./clients/event-sources.ts";
import { bellwireStreams, expressStreams, type Wanted } from "./clients/wanted.ts";
import { boundGoal, inTurn, ROUNDS } from "./compare.ts";
import { cleanUp, query } from "./contenders.ts";
import { now, prepareExpress, readMetric, seedUsers } from "./crowd.ts";
import { startExpressSse } from "./peers/express-sse.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, startDatabase, startInstance } from "./service.ts";

const STREAMS = Number(process.env.BENCH_STREAMS ?? 10_000);
/** How many of the streams have missed something, and how many messages each. */
const MISSING = STREAMS / 10;
export const MISSED = 20;

/** How long to wait for what has not come. */
const LIMIT_MS = 60_000;

/** Messages for every tenth of this many users. */
export const insertMissed = (users: number) => `
  insert into public.messages (sender_id, recipient_id, body)
  select 1 + u * 10 % ${users}, u * 10, 'Message ' || u || '/' || n || ' of a few words, as they are'
    from generate_series(1, ${users / 10}) u, generate_series(1, ${MISSED}) n`;

interface Running {
  address: string;
  /** Queries for what streams had missed, since the start. */
  countReplays(): Promise<number>;
  kill(): Promise<void>;
  close(): Promise<void>;
}

interface Contender {
  name: string;
  url: string;
  wanted: Wanted[];
  start(port: number): Promise<Running>;
}

/** A server with open streams is killed and started again. All clients reconnect, and a tenth of them has missed something. */
export async function storm(): Promise<Result> {
  const database = await startDatabase();
  const result: Result = {
    scenario: "storm",
    what: `A server is killed (SIGKILL) with ${STREAMS} open streams. While it is down, ${MISSED} rows are inserted for each of ${MISSING} of the recipients. Then it is started again. The clients reconnect as browsers do, 2 to 5 s after they were cut, with their last id. The time runs from when the server listens until every stream is ready and has what it missed. ${ROUNDS} rounds.`,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  const { figures, goals, notes } = result;
  const contenders = [await bellwire(database), await plainExpress(database)];
  for (let round = 0; round < ROUNDS; round++)
    for (const contender of inTurn(contenders, round)) {
      const { resets, ...found } = await measure(contender);
      addRound(figures, contender.name, found);
      if (resets)
        notes.push(`${contender.name}: ${resets} streams were told to fetch their list again.`);
    }
  await database.close();
  goals.push(
    boundGoal(figures, "seconds until all have resumed", ["Bellwire", "s until all have resumed"], {
      atMost: 5,
    }),
    boundGoal(figures, "replay queries", ["Bellwire", "replay queries"], { atMost: 100 }),
    boundGoal(figures, "streams that did not come back", ["Bellwire", "not back"], { atMost: 0 }),
    boundGoal(figures, "rows lost", ["Bellwire", "lost"], { atMost: 0 }),
  );
  notes.push(
    "Most of the time is the clients' own delay: the last of them reconnects 5 s after it was cut. `cut to listening` is the part of that delay that had passed when the server listened again. `last of all` counts from the cut.",
  );
  return result;
}

async function measure({ url, wanted, start }: Contender): Promise<Record<string, number>> {
  await cleanUp(url);
  const first = await start(0);
  const clients = await openEventSources(first.address, wanted);
  await clients.forget();
  const cutAt = now();
  await first.kill();
  await query(url, insertMissed(STREAMS));
  const second = await start(Number(new URL(first.address).port));
  const listeningAt = now();
  const expected = MISSING * MISSED;
  const isOver = (of: { ready: number; frames: number; repeated: number }) =>
    of.ready === STREAMS && of.frames - of.repeated >= expected;
  let tally = await clients.tally();
  while (!isOver(tally) && now() - listeningAt < LIMIT_MS) {
    await delay(50);
    tally = await clients.tally();
  }
  const replays = await second.countReplays();
  // An event that comes twice comes soon.
  await delay(1000);
  const { lastAt } = tally;
  const { frames, repeated, resets, refused, ready } = await clients.tally();
  await clients.close();
  await second.close();
  return {
    "s until all have resumed": (lastAt - listeningAt) / 1000,
    "cut to listening, s": (listeningAt - cutAt) / 1000,
    "last of all, s": (lastAt - cutAt) / 1000,
    "replay queries": replays,
    lost: expected - (frames - repeated),
    repeated,
    "not back": STREAMS - ready,
    refused,
    resets,
  };
}

async function bellwire({ url }: Database): Promise<Contender> {
  await query(url, seedUsers(STREAMS));
  return {
    name: "Bellwire",
    url,
    wanted: await bellwireStreams(STREAMS),
    async start(port) {
      const env = { MAX_NEW_STREAMS_PER_SECOND: "0", PORT: String(port) };
      const instance = await startInstance(url, env);
      return {
        ...instance,
        countReplays: () => readMetric(instance.metricsAddress, "bellwire_replay_reads_total"),
      };
    },
  };
}

async function plainExpress(database: Database): Promise<Contender> {
  const url = await database.addDatabase("express");
  await prepareExpress(url, STREAMS);
  return {
    name: "plain Express",
    url,
    wanted: expressStreams(STREAMS),
    async start(port) {
      const server = await startExpressSse(url, port);
      return {
        ...server,
        countReplays: async () => Number(await (await fetch(`${server.address}/replays`)).text()),
      };
    },
  };
}
