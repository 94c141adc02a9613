import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asApplication, endWithUs } from "./service.ts";

export const USERS = 1000;

/** Adds users to the example, so that writers seldom wait for the same one. */
export const SEED_USERS = `
  insert into public.users (name)
  select 'User ' || n
    from generate_series((select count(*) from public.users) + 1, ${USERS}) n`;

/** One message between two random users. Its body contains `writer/number`. */
export const ONE_MESSAGE = `
\\set n :n + 1
\\set recipient random(1, ${USERS})
\\set sender 1 + (:recipient + random(0, ${USERS - 2})) % ${USERS}
insert into public.messages (sender_id, recipient_id, body) values (:sender, :recipient, 'Message ' || :client_id::text || '/' || :n::text || ' of a few words, as they are');
`;

/** One message to each user, in one statement. */
export const MESSAGE_TO_EACH = `
\\set n :n + 1
insert into public.messages (sender_id, recipient_id, body) select 1 + u % ${USERS}, u, 'Message ' || :client_id::text || '/' || :n::text || ' of a few words, as they are' from generate_series(1, ${USERS}) u;
`;

/** A transaction as its writer saw it; times in milliseconds since 1970. */
export interface Commit {
  beganAt: number;
  /** When the writer learnt of the commit. */
  at: number;
}

export interface Run {
  transactions: number;
  perSecond: number;
  /** The duration of a transaction at its writer, in milliseconds. */
  latencyMs: number;
  /** By `writer/number`; empty unless requested. */
  commits: Map<string, Commit>;
}

/** PostgreSQL's load generator, of any installed version. The embedded server has none. */
export async function findPgbench(): Promise<string | undefined> {
  const debian = "/usr/lib/postgresql";
  const versions = await readdir(debian).catch(() => []);
  const paths = versions.toSorted().reverse();
  return ["pgbench", ...paths.map((version) => join(debian, version, "bin", "pgbench"))].find(
    (path) => spawnSync(path, ["--version"]).status === 0,
  );
}

export const NO_PGBENCH = "Left out: there is no pgbench on PATH or in /usr/lib/postgresql.";

export interface RunOptions {
  pgbench: string;
  url: string;
  script: string;
  clients: number;
  /** The duration, or the number of transactions of each writer. */
  until: { seconds: number } | { transactions: number };
  /** Transactions a second of all writers together; unlimited if it is not given. */
  rate?: number;
  withCommits?: boolean;
}

/** Runs a script with prepared statements, as the application. Rejects when a writer fails. */
export async function runPgbench(options: RunOptions): Promise<Run> {
  const { pgbench, url, script, clients, until, rate, withCommits = false } = options;
  const dir = await mkdtemp(join(tmpdir(), "bellwire-pgbench-"));
  try {
    const file = join(dir, "script.sql");
    await writeFile(file, script);
    const args = ["--no-vacuum", "--protocol=prepared", "--define=n=0", `--file=${file}`];
    args.push(`--client=${clients}`, "--jobs=1");
    if ("seconds" in until) args.push(`--time=${until.seconds}`);
    else args.push(`--transactions=${until.transactions}`);
    if (rate) args.push(`--rate=${rate}`);
    if (withCommits) args.push("--log", `--log-prefix=${join(dir, "commits")}`);
    const output = await run(pgbench, [...args, asApplication(url)]);
    const read = (pattern: RegExp) => Number(pattern.exec(output)?.[1]);
    return {
      transactions: read(/transactions actually processed: (\d+)/),
      perSecond: read(/tps = ([\d.]+)/),
      latencyMs: read(/latency average = ([\d.]+) ms/),
      commits: withCommits ? await readCommits(dir) : new Map(),
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function run(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let [output, problem] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    problem += text;
  });
  const ended = endWithUs(child);
  await new Promise((resolve) => child.once("close", resolve));
  await ended;
  if (child.exitCode !== 0 || problem.includes("ERROR")) throw new Error(`pgbench: ${problem}`);
  return output;
}

/** https://www.postgresql.org/docs/current/pgbench.html#id-1.9.4.11.9.11: per-transaction logging. */
async function readCommits(dir: string): Promise<Map<string, Commit>> {
  const commits = new Map<string, Commit>();
  for (const name of await readdir(dir)) {
    if (!name.startsWith("commits")) continue;
    for (const line of (await readFile(join(dir, name), "utf8")).split("\n")) {
      const [client, n, tookUs, , seconds, us, lagUs = "0"] = line.split(" ");
      if (us === undefined) continue;
      const at = Number(seconds) * 1000 + Number(us) / 1000;
      // For a late writer the time counts from when it should have begun.
      const beganAt = at - (Number(tookUs) - Number(lagUs)) / 1000;
      commits.set(`${client}/${n}`, { beganAt, at });
    }
  }
  return commits;
}
