import pg from "pg";
import { openStreams, type Streams } from "./clients/streams.ts";
import { bellwireStreams, expressStreams } from "./clients/wanted.ts";
import { ROUNDS, ratioGoal } from "./compare.ts";
import { cleanUp, query } from "./contenders.ts";
import { now, prepareExpress, seedUsers } from "./crowd.ts";
import { startExpressSse } from "./peers/express-sse.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, startDatabase, startInstance } from "./service.ts";

const STREAMS = Number(process.env.BENCH_STREAMS ?? 10_000);
const WARM_UPS = 2;

const INSERT = `
  insert into public.messages (sender_id, recipient_id, body)
  select 1 + u % ${STREAMS}, u, 'Message ' || u || '/1 of a few words, as they are'
    from generate_series(1, ${STREAMS}) u`;

interface Contender {
  name: string;
  url: string;
  streams: Streams;
  version?: string;
  close(): Promise<void>;
}

/** One statement notifies ten thousand recipients, each of something else. */
export async function fanOut(): Promise<Result> {
  const database = await startDatabase();
  const result: Result = {
    scenario: "fan-out",
    what: `One statement inserts a message for each of ${STREAMS} recipients. Each has an open stream, all in one client process. ${ROUNDS} rounds.`,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  const { figures, goals } = result;
  // One after the other, so that the open connections of one do not disturb the other.
  for (const start of [startBellwire, startPlainExpress]) {
    const contender = await start(database);
    for (let round = -WARM_UPS; round < ROUNDS; round++) {
      const found = await measure(contender);
      if (round >= 0) addRound(figures, contender.name, found);
    }
    if (contender.version) result.place = `${contender.version}, ${result.place}`;
    await contender.close();
  }
  await database.close();
  for (const figure of [FIRST_TO_LAST, COMMIT_TO_LAST])
    goals.push(
      ratioGoal(figures, figure, ["Bellwire", figure], ["plain Express", figure], { atMost: 1 }),
    );
  return result;
}

const FIRST_TO_LAST = "first to last, ms";
const COMMIT_TO_LAST = "commit to last, ms";

async function measure({ url, streams }: Contender): Promise<Record<string, number>> {
  await cleanUp(url);
  await streams.start(Number.MAX_SAFE_INTEGER);
  const writer = new pg.Client(url);
  await writer.connect();
  const beganAt = now();
  await writer.query(INSERT);
  const committedAt = now();
  await writer.end();
  const { frames, firstAt, lastAt } = await streams.finish(STREAMS);
  return {
    [FIRST_TO_LAST]: lastAt - firstAt,
    [COMMIT_TO_LAST]: lastAt - committedAt,
    "commit to first, ms": firstAt - committedAt,
    "the statement, ms": committedAt - beganAt,
    lost: STREAMS - frames,
  };
}

async function startBellwire({ url }: Database): Promise<Contender> {
  await query(url, seedUsers(STREAMS));
  const server = await startInstance(url, { MAX_NEW_STREAMS_PER_SECOND: "0" });
  const streams = await openStreams(server.address, await bellwireStreams(STREAMS));
  return contender("Bellwire", url, server, streams);
}

async function startPlainExpress(database: Database): Promise<Contender> {
  const url = await database.addDatabase("express");
  await prepareExpress(url, STREAMS);
  const server = await startExpressSse(url);
  const streams = await openStreams(server.address, expressStreams(STREAMS));
  return { ...contender("plain Express", url, server, streams), version: server.version };
}

const contender = (
  name: string,
  url: string,
  server: { close(): Promise<void> },
  streams: Streams,
): Contender => ({
  name,
  url,
  streams,
  async close() {
    await streams.close();
    await server.close();
  },
});
