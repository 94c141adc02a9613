import pg from "pg";
import { openStreams, type Streams } from "./clients/streams.ts";
import { bellwireStreams, expressStreams } from "./clients/wanted.ts";
import { startExpressSse, USUAL_TRIGGER } from "./peers/express-sse.ts";
import { findPgbench, NO_PGBENCH, SEED_USERS, USERS } from "./pgbench.ts";
import type { Result } from "./result.ts";
import { type Database, startDatabase, startInstance } from "./service.ts";

/** A service that delivers what is inserted into its own database, with one open stream for each user. */
export interface Contender {
  name: string;
  version?: string;
  url: string;
  /** Of the service's process. */
  pid: number;
  streams: Streams;
  close(): Promise<void>;
}

/** No limit on new streams a second; everything else is the default. */
const BELLWIRE = { MAX_NEW_STREAMS_PER_SECOND: "0" };

export async function startBellwire(
  databaseUrl: string,
  streamCount: number = USERS,
  env: Record<string, string> = {},
): Promise<Contender> {
  await query(databaseUrl, SEED_USERS);
  const instance = await startInstance(databaseUrl, { ...BELLWIRE, ...env });
  const streams = await openStreams(instance.address, await bellwireStreams(streamCount));
  return {
    name: "Bellwire",
    url: databaseUrl,
    pid: instance.pid,
    streams,
    async close() {
      await streams.close();
      await instance.close();
    },
  };
}

export async function startPlainExpress(databaseUrl: string): Promise<Contender> {
  await query(databaseUrl, SEED_USERS);
  await query(databaseUrl, USUAL_TRIGGER);
  const server = await startExpressSse(databaseUrl);
  const streams = await openStreams(server.address, expressStreams(USERS));
  return {
    name: "plain Express",
    version: server.version,
    url: databaseUrl,
    pid: server.pid,
    streams,
    async close() {
      await streams.close();
      await server.close();
    },
  };
}

/** Both, each on its own database of one server. */
export async function startContenders(database: Database): Promise<Contender[]> {
  return [
    await startBellwire(database.url),
    await startPlainExpress(await database.addDatabase("express")),
  ];
}

export async function query(url: string, ...texts: string[]): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  for (const text of texts) await client.query(text);
  await client.end();
}

/**
 * Restores the state before the first round: the same number of rows, no dead rows, and no dirty pages. Bellwire's rows are deleted
 * without its triggers, because a `truncate` begins another history, and every stream would be reset during the round.
 */
export async function cleanUp(url: string): Promise<void> {
  await query(
    url,
    `begin;
     set local session_replication_role = replica;
     delete from bellwire.notifications;
     commit`,
    "truncate public.messages",
    `do $$ begin
       if to_regclass('public.notifications') is not null then
         truncate public.notifications;
       end if;
     end $$`,
    "vacuum (analyze)",
    "checkpoint",
  );
}

/** A scenario of these contenders. It needs pgbench. */
export async function withContenders(
  scenario: string,
  what: string,
  work: (
    contenders: Contender[],
    pgbench: string,
    result: Pick<Result, "figures" | "goals" | "notes">,
  ) => Promise<void>,
): Promise<Result> {
  const database = await startDatabase();
  const pgbench = await findPgbench();
  const result: Result = {
    scenario,
    what,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  if (pgbench) {
    const contenders = await startContenders(database);
    await work(contenders, pgbench, result);
    const versions = contenders.flatMap(({ version }) => version ?? []);
    result.place = [...versions, result.place].join(", ");
    for (const contender of contenders) await contender.close();
  } else result.notes.push(NO_PGBENCH);
  await database.close();
  return result;
}
