import { readdir, readFile } from "node:fs/promises";
import pg from "pg";

/**
 * How long a process has been on a core, in milliseconds. The scheduler counts in nanoseconds, by thread; those that
 * have ended are not in it, and a Node process ends none. https://docs.kernel.org/scheduler/sched-stats.html
 */
export async function cpuMs(pid: number): Promise<number> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const times = tasks.map(async (task) => {
    const text = await readFile(`/proc/${pid}/task/${task}/schedstat`, "utf8");
    return Number(text.split(" ")[0]) / 1e6;
  });
  return (await Promise.all(times)).reduce((sum, ms) => sum + ms, 0);
}

/** Who was on a core for how long, in milliseconds. */
export interface Shares {
  service: number;
  /** The service's connections to the database, as PostgreSQL works for them. */
  "its backends": number;
  clients: number;
  /** pgbench, its connections, and whatever PostgreSQL and the machine do beside. */
  "writers and the rest": number;
}

/** Resolves with the function that tells what has come to each since. The database must have no other connections yet. */
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

/** Of all cores together, by the kernel's ticks of 10 ms. https://docs.kernel.org/filesystems/proc.html */
async function busyMs(): Promise<number> {
  const [all = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = all
    .split(/ +/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) * 10;
}
