import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseEnv, promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { findPort } from "../faults/support/ports.ts";
import { createDatabase } from "../support/database.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SECRET = "a-secret-that-is-long-enough-for-HS256";
const run = promisify(execFile);

/** The code of docs/deploy.md under a heading, block by block. */
function blocksUnder(heading: string, language: string): string[] {
  const [, section = ""] = readFileSync("docs/deploy.md", "utf8").split(`\n## ${heading}\n`);
  const [text = ""] = section.split("\n## ");
  return [...text.matchAll(/```(\w+)\n([\s\S]*?)```/g)]
    .filter(([, name]) => name === language)
    .map(([, , code = ""]) => code);
}

test("the commands for a server, typed one after the other, ring the bell", {
  timeout: 600_000,
}, async () => {
  const database = await createDatabase(undefined, { empty: true });
  const folder = await mkdtemp(join(tmpdir(), "bellwire-server-"));
  await chmod(folder, 0o755);
  onTestFinished(async () => {
    await database.query("drop owned by bell; drop role bell");
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });
  const [port, metricsPort] = [await findPort(), await findPort()];
  const url = `http://127.0.0.1:${port}`;
  /** Types the block in one shell after the others, with the test's places. What systemd would do is done below. */
  const type = async (block: string) => {
    const here = block
      .replace("https://github.com/OWNER/bellwire", ROOT)
      .replaceAll(/ (\/(opt|etc|srv)\/)/g, ` ${folder}$1`)
      .replace("postgres://postgres:PASSWORD@127.0.0.1:5432/app", database.url)
      .replaceAll("https://bell.example.com", url)
      .replaceAll("http://127.0.0.1:3000", url)
      .replaceAll(/^systemctl .*$/gm, ":");
    const script = `cd ${folder}/opt/bellwire 2>/dev/null || true; export DATABASE_URL=${database.url}\n${here}`;
    // As on a server that is set to production.
    const env = { PATH: process.env.PATH, HOME: folder, NODE_ENV: "production" };
    return (await run("bash", ["-ec", script], { cwd: folder, env })).stdout;
  };

  const [login = ""] = blocksUnder("Your database", "sql");
  await database.query(login);
  await database.query("create table public.answers (id bigint, author_id bigint)");
  await mkdir(join(folder, "srv/app/rules"), { recursive: true });
  await writeFile(
    join(folder, "srv/app/rules/answer_received.sql"),
    `select bellwire.define_rule('answer_received', 'public.answers', 'insert', $$
       select author_id as recipient_id, 'answer.received' as type, 'Answered' as title from new_rows $$);`,
  );

  const [build = "", schema = "", settings = "", , start = "", , ring = ""] = blocksUnder(
    "A server with nginx and systemd",
    "sh",
  );
  await mkdir(join(folder, "opt"));
  await type(build);
  expect(await type(schema)).toContain("answer_received");
  await type(settings);
  const file = join(folder, "etc/bellwire/bellwire.env");
  const edited = (await readFile(file, "utf8"))
    .replace(/^DATABASE_URL=.*$/m, () => `DATABASE_URL=${asLogin(database.url)}`)
    .replace(/^JWT_SECRET=.*$/m, `JWT_SECRET=${SECRET}`);
  await writeFile(file, edited);

  await mkdir(join(folder, "etc/systemd/system"), { recursive: true });
  const starting = type(start);
  const unit = readFileSync("deploy/systemd/bellwire.service", "utf8");
  const [, line = ""] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
  const [program = "", ...args] = line.split(" ");
  const service = spawn(program, args, {
    cwd: join(folder, "opt/bellwire"),
    env: {
      ...parseEnv(edited),
      PORT: `${port}`,
      METRICS_PORT: `${metricsPort}`,
    } as NodeJS.ProcessEnv,
    ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
    stdio: "ignore",
  });
  const ended = once(service, "exit");
  onTestFinished(async () => {
    service.kill();
    await ended;
  });
  expect(JSON.parse(await starting)).toMatchObject({ status: "ok" });

  const [secret = "", listen = "", notify = ""] = ring.split("\n");
  const listening = type(`${secret}\n${listen.replace("curl -N", "curl -N --max-time 8")} || true`);
  const open = async () =>
    /^bellwire_streams (\d+)$/m.exec(
      await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
    )?.[1];
  await expect.poll(open).toBe("1");
  await type(notify);
  await database.query("insert into public.answers values (1, 42)");
  const heard = await listening;
  expect(heard).toContain("event: ready");
  expect(heard).toContain('"title":"It rings"');
  expect(heard).toContain('"title":"Answered"');
});

/** The service's login of the page, with its password. */
function asLogin(url: string): string {
  const login = new URL(url);
  login.username = "bell";
  login.password = "change-me";
  return login.href;
}
