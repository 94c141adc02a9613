import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";

/** The server of a data folder, from its `postmaster.pid`. */
export type Postmaster = { pid: number; port: number; isReady: boolean };

/**
 * Reads the file that a server keeps while it runs. Its lines are pid, data folder, start time, port, socket folder, address, shared
 * memory key, and the status that `pg_ctl -w` waits for. Undefined if there is no file, or if its process has ended or belongs to
 * another user; PostgreSQL then replaces the file itself.
 */
export async function readPostmaster(data: string): Promise<Postmaster | undefined> {
  const text = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
  const [pid, , , port, , , , status] = text.split("\n");
  if (!isAlive(Number(pid))) return undefined;
  return { pid: Number(pid), port: Number(port), isReady: status?.trim() === "ready" };
}

/** True if the server on this port uses this data folder and accepts our password. */
export async function servesFolder(port: number, data: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: urlOf(port, "postgres"),
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  });
  client.on("error", () => {}); // the running query rejects as well
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>("show data_directory");
    return (await realpath(rows[0]?.data_directory ?? "")) === (await realpath(data));
  } catch {
    return false; // no server, not PostgreSQL, or another password: not the server of this folder
  } finally {
    client.end().catch(() => {});
  }
}

export function urlOf(port: number, database: string): string {
  return `postgres://postgres:postgres@127.0.0.1:${port}/${database}`;
}

/** Repeats `ask` every 20 ms until it has an answer. Undefined after the time limit. */
export async function poll<T>(
  limitMs: number,
  ask: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const end = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined || Date.now() > end) return answer;
    await delay(20);
  }
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch {
    return false; // no such process, or one of another user, so not our server
  }
}
