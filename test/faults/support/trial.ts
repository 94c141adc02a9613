import type pg from "pg";
import { type JudgeOptions, judge, type Verdict } from "./checker.ts";
import { startForwarder } from "./forwarder.ts";
import { createMigrated, type Postgres, type PostgresOptions, startPostgres } from "./postgres.ts";
import type { ReaderLog } from "./readers.ts";
import { type ServiceProcess, startServiceProcess } from "./service-process.ts";
import { settle } from "./settle.ts";

export interface DatabaseOptions extends PostgresOptions {
  /** A running server that several tests share. By default the test gets its own. */
  postgres?: Postgres;
  name?: string;
}

export interface TrialOptions extends DatabaseOptions {
  env?: Record<string, string>;
  /** How many instances of the service run on the database. */
  instances?: number;
  /** Asked for each connection, except LISTEN: how much later the database's answers arrive. */
  delayMs?: () => number;
}

export interface FinishOptions extends Omit<JudgeOptions, "postgresUrl" | "readers"> {
  readers: ReaderLog & { close?: () => Promise<void> };
  timeoutMs: number;
}

export type Database = Awaited<ReturnType<typeof openDatabase>>;
export type Trial = Awaited<ReturnType<typeof openTrial>>;

/** A PostgreSQL with Bellwire's schema. A test that starts its services itself begins with this. */
export async function openDatabase({ postgres: shared, name, ...own }: DatabaseOptions = {}) {
  const postgres = shared ?? (await startPostgres(own));
  const databaseUrl = await createMigrated(postgres, name);
  return {
    postgres,
    databaseUrl,
    /** The same database behind another port, such as a forwarder's. */
    urlAt: (port: number) => databaseUrl.replace(`:${postgres.port}/`, `:${port}/`),
    /** As the superuser, in the database with Bellwire's schema. */
    query: <Row extends pg.QueryResultRow>(sql: string, params: unknown[] = []): Promise<Row[]> =>
      postgres.query<Row>(sql, params, name ?? "bellwire"),
    /** Waits until every reader has every row, closes the readers, and compares what they were shown with the table. */
    async judge({ timeoutMs, ...options }: FinishOptions): Promise<Verdict> {
      await settle({ postgresUrl: databaseUrl, timeoutMs, ...options });
      await options.readers.close?.();
      return await judge({ postgresUrl: databaseUrl, ...options });
    },
  };
}

/**
 * Nearly every fault test begins with this: its own PostgreSQL, and services that are ready. When the test ends,
 * everything closes in reverse order.
 */
export async function openTrial(options: TrialOptions = {}) {
  const { env = {}, instances = 1, delayMs, ...databaseOptions } = options;
  const database = await openDatabase(databaseOptions);
  const { postgres, databaseUrl, urlAt } = database;
  const { port } = delayMs ? await startForwarder(postgres.port, { delayMs }) : postgres;
  const urls = { databaseUrl: urlAt(port), directUrl: databaseUrl };
  const starting = Array.from({ length: instances }, () => startServiceProcess({ ...urls, env }));
  const services = (await Promise.all(starting)) as [ServiceProcess, ...ServiceProcess[]];
  await Promise.all(services.map((service) => service.waitUntilReady()));
  return { ...database, service: services[0], services };
}
