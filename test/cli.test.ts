import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { mintToken } from "../src/commands/token.ts";
import { readTokenConfig } from "../src/config.ts";
import { asService } from "../src/db/pool.ts";
import { readVersion } from "../src/version.ts";
import { CLI } from "./support/cli.ts";
import { createDatabase, type TestDatabase } from "./support/database.ts";
import { LAST_WORDS } from "./support/event-source.ts";
import { call, startService } from "./support/service.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SECRET = "a secret that is long enough for HS256";
const DRAIN_SECONDS = 1;
const STOP_LIMIT_MS = (DRAIN_SECONDS + 5) * 1000;

/** A folder that the embedded server's account can enter; commands run here, away from any `.env`. */
let folder: string;
let database: TestDatabase;
beforeAll(async () => {
  folder = await createFolder();
  database = await createDatabase();
});
afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

async function createFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "bellwire-cli-"));
  await chmod(path, 0o755);
  return path;
}

/** The real CLI as a process of its own, with this environment and nothing of ours. */
function launch(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    said.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    said.stderr += chunk;
  });
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, ...said }));
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, said, ended };
}

const run = (args: string[], env: Record<string, string> = {}) => launch(args, env).ended;
const runOn = ({ url }: { url: string }, ...args: string[]) =>
  run(args, { DATABASE_URL: url, JWT_SECRET: SECRET });

test("commands that use no token need no key; a wrong folder is an error that says so", async () => {
  const env = { DATABASE_URL: database.url };
  const rules = join(folder, "rules");
  await mkdir(rules);
  await writeFile(join(rules, "planned.sql"), "select 'a rule of this folder';\n");
  const [version, plan, status, prune, missing, start] = await Promise.all([
    run(["--version"]),
    run(["plan", "rules"], env),
    run(["status"], env),
    run(["prune"], env),
    run(["plan", "nothing"], env),
    run(["start"], env),
  ]);
  expect(version).toMatchObject({ code: 0, stdout: `${readVersion()}\n`, stderr: "" });
  expect(plan).toMatchObject({ code: 0, stderr: "" });
  // The name has nothing of this machine.
  expect(plan.stdout).toContain("'rules/planned.sql'");
  expect(plan.stdout).toContain("a rule of this folder");
  expect(status).toMatchObject({ code: 0, stderr: "" });
  expect(prune).toMatchObject({ code: 0, stderr: "" });
  expect(missing.code).toBe(2);
  expect(missing.stderr).toBe(
    `Cannot read the folder ${join(folder, "nothing")}. Name a folder of SQL files.\n`,
  );
  expect(start).toMatchObject({ code: 78 });
  expect(start.stderr).toContain("Set one of JWT_SECRET");
});

test("a folder without SQL files is named, and is no error", async () => {
  const bare = join(folder, "bare");
  await mkdir(bare);
  await writeFile(join(bare, "README.md"), "No rules yet.\n");
  const said = `The folder ${bare} has no .sql file.\n`;
  const env = { DATABASE_URL: database.url };
  for (const command of ["plan", "status", "rules apply", "rules diff"]) {
    const { stderr } = await run([...command.split(" "), "bare"], env);
    expect({ command, stderr }).toEqual({ command, stderr: said });
  }
  const { code, stdout, stderr } = await run(["migrate", "bare"], env);
  expect({ code, stderr }).toEqual({ code: 0, stderr: said });
  expect(stdout).toMatch(/^Nothing to do\.$/m);
});

test("a .env that cannot be read is a wrong setting, in words of ours", async () => {
  const path = join(folder, ".env");
  await mkdir(path);
  onTestFinished(() => rm(path, { recursive: true }));
  expect(await run(["status"], { DATABASE_URL: database.url })).toMatchObject({
    code: 78,
    stderr: `The configuration is wrong:\n✖ ${path} is a folder. It should be a file.\n`,
  });
});

test("a wrong configuration ends a command with 78 and every problem of the variables that it reads", async () => {
  const env = {
    PORT: "x",
    LOG_LEVEL: "loud",
    RETENTION_DAYS: "-1",
    DATABASE_URL: "postgres://app@127.0.0.1:1/app",
  };
  const WRONG: [args: string[], problems: string[]][] = [
    [["start"], ["PORT", "LOG_LEVEL", "RETENTION_DAYS", "JWT_SECRET"]],
    [
      ["token", "2"],
      ["LOG_LEVEL", "JWT_SECRET"],
    ],
    [["migrate"], ["LOG_LEVEL"]],
    [["prune"], ["LOG_LEVEL", "RETENTION_DAYS"]],
  ];
  const answers = await Promise.all(WRONG.map(([args]) => run(args, env)));
  for (const [i, { code, stdout, stderr }] of answers.entries()) {
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr).toMatch(/^The configuration is wrong:\n/);
    const named = [...stderr.matchAll(/→ at (\w+)/g)].map(([, name]) => name);
    expect(new Set(named)).toEqual(new Set(WRONG[i]?.[1]));
    expect(stderr).not.toMatch(/^\s+at .*\.ts:/m);
  }
});

test("a byte order mark at the start of .env or of a rule's file does not matter", async () => {
  await writeFile(join(folder, ".env"), `\uFEFFDATABASE_URL=${database.url}\n`);
  onTestFinished(() => rm(join(folder, ".env")));
  await mkdir(join(folder, "marked"));
  await writeFile(join(folder, "marked/one.sql"), "\uFEFFselect 1;\n");
  const { code, stdout, stderr } = await run(["migrate", "marked"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("marked/one.sql");
});

test("a command does not fail because of a variable that it does not read", async () => {
  const env = { PORT: "x", JWT_SECRET: "short", RETENTION_DAYS: "-1", DATABASE_URL: database.url };
  expect(await run(["status"], env)).toMatchObject({ code: 0, stderr: "" });
});

describe("usage", () => {
  const COMMANDS = [
    ...readFileSync(join(ROOT, "src/cli.ts"), "utf8").matchAll(/^ {2}(\w+): \(\) => import/gm),
  ].map(([, name = ""]) => name);
  const MISTAKES: [args: string[], reason: string][] = [
    [["launch"], "there is no command launch"],
    [[], "no command"],
    [["token"], "token needs a recipient"],
    [["token", "2", "--ttl", "soon"], "--ttl is a number and s, m, h or d"],
    [["start", "--port=1"], "--port"],
    [["toString"], "there is no command toString"],
  ];

  test("a mistake exits with 2 and prints the reason and the help of the command", async () => {
    const answers = MISTAKES.map(async ([args, reason]) => ({
      ...(await run(args)),
      reason,
      args,
    }));
    for (const { code, stdout, stderr, reason, args } of await Promise.all(answers)) {
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(reason);
      const command = COMMANDS.find((name) => name === args[0]);
      expect(stderr).toMatch(
        command ? new RegExp(`^bellwire ${command}`, "m") : /^bellwire <command>/m,
      );
    }
  });

  test("--help exits with 0 and lists every command; after a command it prints that one's", async () => {
    const { code, stdout } = await run(["--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^bellwire <command>/);
    expect([...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name)).toEqual(COMMANDS);
    const helps = await Promise.all(COMMANDS.map((name) => run([name, "--help"])));
    for (const [i, help] of helps.entries()) {
      expect(help).toMatchObject({ code: 0, stderr: "" });
      expect(help.stdout).toMatch(new RegExp(`^bellwire ${COMMANDS[i]}\\b`));
    }
  });
});

describe("on a database", () => {
  test("plan prints what migrate runs and changes nothing; its SQL does the same as migrate", async () => {
    const planned = await createDatabase(undefined, { empty: true });
    const migrated = await createDatabase(undefined, { empty: true });
    onTestFinished(planned.close);
    onTestFinished(migrated.close);
    const folders = ["sql/example", "sql/rules"].map((path) => join(ROOT, path));
    const [plan, migration] = await Promise.all([
      runOn(planned, "plan", ...folders),
      runOn(migrated, "migrate", ...folders),
    ]);
    expect(plan).toMatchObject({ code: 0, stderr: "" });
    expect(migration).toMatchObject({ code: 0, stderr: "" });
    expect(migration.stdout).toMatch(/^Applied:\nmigrations\/0001_schema\.sql\n/m);
    const made = "select to_regnamespace('bellwire') is not null as made";
    expect(await planned.query(made)).toEqual([{ made: false }]);

    await planned.query(plan.stdout);
    const [status, again] = await Promise.all([
      runOn(planned, "status", ...folders),
      runOn(migrated, "migrate", ...folders),
    ]);
    expect(again.stdout).toMatch(/^Nothing to do\.\n$/m);
    expect(status).toMatchObject({ code: 0, stderr: "" });
    expect(status.stdout).not.toMatch(/^\w+ +(pending|changed) /m);
    expect(status.stdout).toMatch(/^versioned +applied +migrations\/0001_schema\.sql$/m);
    expect(status.stdout).toMatch(/^rule +enabled, insert on public\.messages +message_received$/m);
    expect(status.stdout).toMatch(/^role +present +bellwire_service$/m);
    expect(status.stdout).toContain("No drift.");
  });

  test("status exits with 1 when a function was edited by hand, and with 0 after migrate has restored it", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query(
      "create or replace function bellwire.preview(body text) returns text language sql as 'select 1'",
    );
    const after = await runOn(own, "status");
    expect(after.code).toBe(1);
    expect(after.stdout).toMatch(/^function +edited +bellwire\.preview\(text\)$/m);
    expect(after.stdout).toContain("Drift:");

    expect((await runOn(own, "migrate")).code).toBe(0);
    expect((await runOn(own, "status")).code).toBe(0);
  });

  // What `prisma migrate reset` does to the application's schema.
  test("after all tables were dropped and created again, status and rules say so, and rules apply makes the bell ring", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    const rules = join(ROOT, "sql/rules");
    expect(await runOn(own, "rules", "diff", rules)).toMatchObject({ code: 0, stderr: "" });
    await own.query("drop schema public cascade; create schema public");
    await own.query(readFileSync(join(ROOT, "sql/example/marketplace_tables.sql"), "utf8"));
    const [service, status, list, diff] = await Promise.all([
      startService({ databaseUrl: own.url }),
      runOn(own, "status"),
      runOn(own, "rules"),
      runOn(own, "rules", "diff", rules),
    ]);
    expect(status).toMatchObject({ code: 1, stderr: "" });
    expect(status.stdout).toMatch(
      /^rule +broken +message_received: its table public\.messages was dropped and created again, .+ Run bellwire rules apply DIR/m,
    );
    expect(list).toMatchObject({ code: 1, stdout: expect.stringContaining("not firing") });
    expect(diff).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^mended {2}task_closed/m),
    });
    const readWarnings = async () => (await fetch(`${service.url}/readyz`)).text();
    await vi.waitFor(async () => expect(await readWarnings()).toContain("rule message_received: "));

    // The new schema lacks what PUBLIC was granted on the first one.
    const refused = await runOn(own, "rules", "apply", rules);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain("grant usage on schema public to bellwire_rules;");
    await own.query("grant usage on schema public to bellwire_rules");
    const apply = await runOn(own, "rules", "apply", rules);
    expect(apply).toMatchObject({ code: 0, stderr: "" });
    expect(apply.stdout.match(/^mended /gm)).toHaveLength(9);
    await own.query(`
      insert into users (name) values ('Ann'), ('Bob');
      insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello')`);
    expect(await call(service, "2", "/unread-count")).toMatchObject({ body: { count: 1 } });
    const [well, same] = await Promise.all([
      runOn(own, "status", rules),
      runOn(own, "rules", "diff", rules),
    ]);
    expect(well).toMatchObject({ code: 0, stderr: "" });
    expect(same).toMatchObject({ code: 0, stderr: "" });
  });

  test("explain prints a line a reason; what it cannot find is an error with advice", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query(
      "insert into public.messages (sender_id, recipient_id, body) values (1, 2, 'Hi')",
    );
    const ROW = ["explain", "--table", "public.messages", "--row", "1", "--recipient"];
    const [told, why, not] = await Promise.all([
      runOn(own, "explain", "1"),
      runOn(own, ...ROW, "2"),
      runOn(own, ...ROW, "1"),
    ]);
    for (const answer of [told, why, not]) expect(answer).toMatchObject({ code: 0, stderr: "" });
    expect(told.stdout).toMatch(/^ {18}yes {6}Notification 1 told 2 of message\.received\. /m);
    expect(why.stdout).toMatch(/^message_received {2}yes {6}On insert: notification 1 /m);
    expect(not.stdout).toMatch(/^message_received {2}no {7}On insert: .+ other recipients: 2\.$/m);

    const empty = await createDatabase(undefined, { empty: true });
    onTestFinished(empty.close);
    const ERRORS: [database: TestDatabase, args: string[], said: string][] = [
      [own, ["9"], "there is no notification 9\n"],
      [own, ["9", "--row", "1"], "explain takes a notification or the three options, not both\n"],
      [own, ["--row", "1"], "explain needs a notification, or --table, --row and --recipient\n"],
      [own, ["x"], "a notification is its id, a number; not x\n"],
      [own, ["1", "2"], "explain takes one notification\n"],
      [
        own,
        ["--table", "Task", "--row", "1", "--recipient", "1"],
        'relation "task" does not exist\nName the table with its schema,',
      ],
      [empty, ["1"], 'schema "bellwire" does not exist\nBellwire is not installed'],
    ];
    await Promise.all(
      ERRORS.map(async ([on, args, said]) => {
        const { code, stdout, stderr } = await runOn(on, "explain", ...args);
        expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
        expect(stderr.startsWith(said), stderr).toBe(true);
      }),
    );
  });

  test("rules lists the installed rules; a call that does not fit says how it is called", async () => {
    const [list, unknown, without] = await Promise.all([
      runOn(database, "rules"),
      runOn(database, "rules", "remove"),
      runOn(database, "rules", "apply"),
    ]);
    expect(list).toMatchObject({ code: 0, stderr: "" });
    expect(list.stdout).toMatch(/^message_received +enabled, insert on public\.messages$/m);
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.stderr).toContain("there is no command rules remove");
    expect(without.stderr).toMatch(/^rules apply needs a folder\n\nbellwire rules \[list\]\n/);
  });

  test("token prints a token that the service accepts for the requested time", async () => {
    const { code, stdout } = await runOn(database, "token", "cli-recipient", "--ttl", "2m");
    expect(code).toBe(0);
    const token = stdout.trim();
    const service = await startService({ databaseUrl: database.url });
    const answer = await call({ ...service, token: async () => token }, "", "/unread-count");
    expect(answer).toMatchObject({ status: 200, body: { count: 0 } });
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    expect(claims).toMatchObject({ sub: "cli-recipient", exp: claims.iat + 120 });
  });

  test("token creates no secret: one that no service has would sign tokens that are refused", async () => {
    const elsewhere = await createFolder();
    onTestFinished(() => rm(elsewhere, { recursive: true }));
    const dir = join(elsewhere, ".bellwire/pg");
    expect(await run(["token", "2"], { EMBEDDED_PG_DIR: dir })).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining(
        `There is no secret in ${join(elsewhere, ".bellwire/jwt-secret")}. Run this in the folder`,
      ),
    });
    expect(await readdir(elsewhere)).toEqual([]);
  });

  test("token says why it cannot sign", async () => {
    const env = { DATABASE_URL: database.url, JWT_JWKS_URL: "https://id.example/keys" };
    const { code, stderr } = await run(["token", "2"], env);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "Only JWT_SECRET can sign a token; with a public key its owner must.\n",
    });
  });

  test("prune deletes what is older than RETENTION_DAYS, and nothing else", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query(
      `insert into bellwire.notifications (recipient_id, type, created_at)
       select '1', 'note', now() - make_interval(days => days)
         from unnest(array[40, 31, 29, 0]) with ordinality as t (days, place)
        order by place`,
    );
    const env = { DATABASE_URL: own.url, JWT_SECRET: SECRET, RETENTION_DAYS: "30" };
    const { code, stdout } = await run(["prune"], env);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "Deleted 2 notifications older than 30 days.\n",
    });
    expect(await own.query("select 1 from bellwire.notifications")).toHaveLength(2);
  });

  test("prune deletes all removals of that age, even more than one call of bellwire.prune() does", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query(
      `insert into bellwire.removals (recipient_id, notification_id, removed_at)
       select '1', n, now() - make_interval(days => case when n <= 45000 then 31 else 29 end)
         from generate_series(1, 45010) n`,
    );
    const env = { DATABASE_URL: asService(own.url), JWT_SECRET: SECRET, RETENTION_DAYS: "30" };
    const { code, stdout } = await run(["prune"], env);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "Deleted 0 notifications older than 30 days.\n",
    });
    expect(await own.query("select min(notification_id) from bellwire.removals")).toEqual([
      { min: "45001" },
    ]);
  });

  test("doctor exits with 2 if something is broken, as JSON too, and prints no password", async () => {
    const empty = await createDatabase(undefined, { empty: true });
    onTestFinished(empty.close);
    const [text, json, missing] = await Promise.all([
      runOn(empty, "doctor"),
      runOn(empty, "doctor", "--json"),
      runOn(empty, "doctor", "--rules", "nothing"),
    ]);
    expect(text).toMatchObject({ code: 2, stderr: "" });
    expect(text.stdout).toMatch(/^BROKEN schema: database \w+ has no Bellwire/m);
    expect(json).toMatchObject({ code: 2, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({ verdict: "broken" });
    const { password } = new URL(empty.url);
    expect(text.stdout + json.stdout).not.toContain(`:${password}@`);
    expect(missing).toMatchObject({ code: 2, stdout: "" });
    expect(missing.stderr).toContain("Cannot read the folder");
  });

  test("start refuses a database without the schema, and says what to do", async () => {
    const empty = await createDatabase(undefined, { empty: true });
    onTestFinished(empty.close);
    const { code, stderr } = await runOn(empty, "start");
    expect(code).toBe(2);
    expect(stderr).toContain("Run bellwire migrate first.");
  });

  test("prune on a database without the schema says what to do", async () => {
    const empty = await createDatabase(undefined, { empty: true });
    onTestFinished(empty.close);
    expect(await runOn(empty, "prune")).toMatchObject({
      code: 2,
      stdout: "",
      stderr: "The database lacks migrations/0001_schema.sql. Run bellwire migrate first.\n",
    });
  });

  test("without its database a command exits with 2, says what to do, and prints no password", async () => {
    const url = "postgres://app:canary-password@127.0.0.1:1/app";
    const commands = ["migrate", "status", "prune"].map((command) => runOn({ url }, command));
    for (const { code, stdout, stderr } of await Promise.all(commands)) {
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(/^Nothing listens at 127\.0\.0\.1:1\. Start PostgreSQL, .*\.\n$/);
    }
    const { stderr } = await run(["status"], { EMBEDDED_PG_PORT: "1" });
    expect(stderr).toContain("start it, or set DATABASE_URL");
  });

  test("start refuses a wrong password of either URL, and waits for a database that does not answer", async () => {
    const wrong = database.url.replace(/:[^:@]*@/, ":canary-password@");
    for (const [url, direct] of [
      [wrong, database.url],
      [database.url, wrong],
    ]) {
      const env = { DATABASE_URL: url ?? "", DIRECT_DATABASE_URL: direct ?? "", PORT: "0" };
      const { code, stdout, stderr } = await run(["start"], { ...env, JWT_SECRET: SECRET });
      expect({ code }).toEqual({ code: 2 });
      expect(stderr).toContain('refused the password of user "postgres"');
      expect(stdout + stderr).not.toContain("canary");
    }
    const { said, child, ended } = launch(["start"], {
      DATABASE_URL: "postgres://app:canary-password@127.0.0.1:1/app",
      JWT_SECRET: SECRET,
      PORT: "0",
      METRICS_PORT: "0",
      DRAIN_SECONDS: "0",
    });
    await vi.waitFor(() => expect(said.stdout).toContain('"started"'), { timeout: 10_000 });
    expect(said.stdout).toContain("Nothing listens at 127.0.0.1:1. Start PostgreSQL");
    expect(said.stdout).not.toContain("canary");
    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0 });
  });
});

describe("start without DATABASE_URL", { timeout: 60_000 }, () => {
  /** One folder for all tests, kept from start to start as a checkout's is. */
  const env = () => ({
    PORT: "0",
    METRICS_PORT: "0",
    EMBEDDED_PG_PORT: "0",
    EMBEDDED_PG_DIR: join(folder, ".bellwire/pg"),
    DRAIN_SECONDS: String(DRAIN_SECONDS),
  });

  /** The pid of the folder's database; NaN when it has none, for a clean end removes the file. */
  async function readPostmaster(): Promise<number> {
    const path = join(env().EMBEDDED_PG_DIR, "data/postmaster.pid");
    return Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
  }

  const waitFor = (check: () => unknown) => vi.waitFor(check, { timeout: 30_000, interval: 20 });

  /** Starts, and ends what a failed test leaves. */
  function begin(further: Record<string, string> = {}) {
    onTestFinished(async () => {
      const postmaster = await readPostmaster();
      if (postmaster > 0) process.kill(postmaster, "SIGINT");
      await waitFor(async () => expect(await readPostmaster()).toBeNaN());
    });
    return launch(["start"], { ...env(), ...further });
  }

  async function start(further: Record<string, string> = {}) {
    const { child, said, ended } = begin(further);
    await waitFor(() => expect(said.stdout).toMatch(/^ +stream .*\n/m));
    const find = (pattern: RegExp) => pattern.exec(said.stdout)?.[1] ?? "";
    return {
      child,
      said,
      ended,
      page: find(/^ +page +(\S+)$/m).replace("localhost", "127.0.0.1"),
      url: find(/^ +psql +psql (\S+)$/m),
      insert: find(/^ +(insert into messages .*;)$/m),
      program: resolve(folder, find(/^ +token +node (\S+) token \S+$/m)),
      tokenArgs: find(/^ +token +node \S+ (token \S+)$/m).split(" "),
    };
  }

  type Started = Pick<ReturnType<typeof begin>, "child" | "ended">;

  /** Signals, and expects a clean end in time that leaves no database behind. */
  async function stop({ child, ended }: Started, signal: NodeJS.Signals) {
    expect(await readPostmaster()).toBeGreaterThan(0);
    const since = performance.now();
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 0, signal: null });
    expect(performance.now() - since).toBeLessThan(STOP_LIMIT_MS);
    expect(await readPostmaster()).toBeNaN();
  }

  async function query(url: string, sql: string) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query(sql);
    await client.end();
    return rows;
  }

  /** With the folder's key, as the printed line makes a token, but without a process. */
  const authorize = async () => `Bearer ${await mintToken(readTokenConfig(env()), "2", 3600)}`;

  test("prints a page, a psql line and a token line that work together", async () => {
    const started = await start();
    const page = await fetch(started.page);
    expect(page.headers.get("content-type")).toMatch(/^text\/html/);

    expect(started.program).toBe(CLI);
    const { code, stdout } = await run(started.tokenArgs, env());
    expect(code).toBe(0);
    const stream = await fetch(`${started.page}/api/notifications/stream`, {
      headers: { authorization: `Bearer ${stdout.trim()}` },
    });
    let text = "";
    const reading = (async () => {
      for await (const chunk of stream.body ?? []) text += Buffer.from(chunk as Uint8Array);
    })();
    await waitFor(() => expect(text).toContain("event: ready"));
    await query(started.url, started.insert);
    await waitFor(() => expect(text).toMatch(/event: notification\ndata: .*"body":"Hello"/));

    await stop(started, "SIGTERM");
    await reading;
    expect(text).toMatch(LAST_WORDS);
  });

  test("SIGINT ends it like SIGTERM; the next start has the data and accepts the old tokens", async () => {
    // The embedded PostgreSQL has no psql either.
    const started = await start({ PATH: "/nowhere" });
    expect(started.said.stdout).toContain("psql is not installed here");
    const authorization = await authorize();
    await query(
      started.url,
      "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Kept')",
    );
    await stop(started, "SIGINT");

    const again = await start();
    // The newest alone, because other tests write to the same folder.
    const list = await fetch(`${again.page}/api/notifications?limit=1`, {
      headers: { authorization },
    });
    expect(await list.json()).toMatchObject({ notifications: [{ body: "Kept" }] });
    await stop(again, "SIGTERM");
  });

  test("a signal that arrives twice at once counts once, because npm may forward what the terminal sent to both", async () => {
    for (const second of ["SIGINT", "SIGTERM"] as const) {
      const { child, said, ended } = await start();
      const stopped = stop({ child, ended }, "SIGINT");
      await waitFor(() => expect(said.stdout).toContain('"stopping'));
      child.kill(second);
      await stopped;
    }
  });

  test("a later signal ends it at once, however long the drain would take", async () => {
    const { child, ended, page } = await start({ DRAIN_SECONDS: "300" });
    const authorization = await authorize();
    const open = () => fetch(`${page}/api/notifications/stream`, { headers: { authorization } });
    // Ten take 2.7 s of such a drain: more than a second signal needs to count.
    const streams = await Promise.all(Array.from({ length: 10 }, open));
    let isEnded = false;
    const end = ended.then((how) => {
      isEnded = true;
      return how;
    });
    await waitFor(() => {
      child.kill("SIGTERM");
      expect(isEnded).toBe(true);
    });
    expect(await end).toMatchObject({ code: 1, signal: null });
    for (const { body } of streams) await body?.cancel().catch(() => {}); // cut
  });

  test("a signal during the start ends it cleanly too", async () => {
    const started = begin();
    await waitFor(async () => expect(await readPostmaster()).toBeGreaterThan(0));
    await stop(started, "SIGTERM");
  });

  test("a second start on the same folder is refused, and the first keeps running", async () => {
    const first = await start();
    const { code, stderr } = await run(["start"], env());
    expect(code).toBe(2);
    expect(stderr).toContain(
      `Another Bellwire already runs on this folder (${env().EMBEDDED_PG_DIR})`,
    );
    expect((await fetch(`${first.page}/readyz`)).status).toBe(200);
    await stop(first, "SIGTERM");
  });

  test("after a kill -9 it starts again, with everything that was committed", async () => {
    const killed = await start();
    await query(killed.url, "insert into users (name) values ('Survivor')");
    killed.child.kill("SIGKILL");
    await killed.ended;
    // Its database outlives it, and is used on.
    const postmaster = await readPostmaster();
    const again = await start();
    expect(await readPostmaster()).toBe(postmaster);
    expect(await query(again.url, "select from users where name = 'Survivor'")).toHaveLength(1);
    await stop(again, "SIGTERM");
  });

  test("continues when nobody reads its output any more, as with head, and ends together with its database", async () => {
    const started = await start();
    started.child.stdout.destroy();
    started.child.stderr.destroy();
    const authorization = await authorize();
    for (let i = 0; i < 5; i++) {
      const url = `${started.page}/api/notifications/unread-count`;
      expect((await fetch(url, { headers: { authorization } })).status).toBe(200);
    }
    await stop(started, "SIGTERM");
  });

  test("starts its database again when that is killed, and becomes ready again", async () => {
    const started = await start();
    const postmaster = await readPostmaster();
    process.kill(postmaster, "SIGKILL");
    await waitFor(async () => {
      expect(started.said.stdout).toContain("was restarted");
      expect((await fetch(`${started.page}/readyz`)).status).toBe(200);
    });
    expect(await readPostmaster()).not.toBe(postmaster);
    await stop(started, "SIGTERM");
  });

  test("a port in use ends the start, names the variable, and leaves no database behind", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    for (const variable of ["PORT", "EMBEDDED_PG_PORT"]) {
      const { code, stderr } = await run(["start"], { ...env(), [variable]: `${port}` });
      expect({ code, variable }).toEqual({ code: 2, variable });
      expect(stderr).toContain(`ort ${port} on 127.0.0.1`);
      expect(stderr).toContain(variable);
      expect(await readPostmaster()).toBeNaN();
    }
  });
});
