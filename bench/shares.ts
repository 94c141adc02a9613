import pg from "pg";
import { busyMs, cpuMs } from "./cpu.ts";

/** CPU times in milliseconds. */
export interface Shares {
  service: number;
  /** The PostgreSQL processes of the service's connections. */
  "its backends": number;
  clients: number;
  /** pgbench, its connections, and everything else of PostgreSQL and the machine. */
  "writers and the rest": number;
}

/** Resolves with a function that returns the times since. The database must have no other connections yet. */
export async function watchShares(
  url: string,
  pids: { service: number; clients: number },
): Promise<() => Promise<Shares>> {
  const backends = await backendsOf(url);
  const read = async () => {
    const [all, service, clients, ...own] = await Promise.all([
      busyMs(),
      cpuMs(pids.service),
      cpuMs(pids.clients),
      // A connection may have been replaced meanwhile.
      ...backends.map((pid) => cpuMs(pid).catch(() => Number.NaN)),
    ]);
    return { all, service, clients, own };
  };
  const before = await read();
  return async () => {
    const after = await read();
    const service = after.service - before.service;
    const clients = after.clients - before.clients;
    const backends = after.own
      .map((ms, i) => ms - (before.own[i] ?? 0) || 0)
      .reduce((sum, ms) => sum + ms, 0);
    const rest = after.all - before.all - service - backends - clients;
    return { service, "its backends": backends, clients, "writers and the rest": rest };
  };
}

async function backendsOf(url: string): Promise<number[]> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query<{ pid: number }>(
    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  );
  await client.end();
  return rows.map(({ pid }) => pid);
}
