import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { asService } from "../../src/db/pool.ts";
import { createMinter } from "../../src/http/auth/sign.ts";
import { openStream } from "../support/event-source.ts";
import { findPort } from "./support/ports.ts";
import { createMigrated, type Postgres, startPostgres } from "./support/postgres.ts";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const SECRET = "a secret that is long enough for HS256";

/** The whole file system, read-only, to a process that is nobody: what a container with a read-only root is. */
const IN_A_CAGE = [
  "mount --bind / /mnt",
  "mount -o remount,bind,ro /mnt",
  'exec chroot --userspec=65534:65534 /mnt "$@"',
].join(" && ");
const cage = (...command: string[]) => ["-m", "sh", "-c", IN_A_CAGE, "sh", ...command];

const canCage = spawnSync("unshare", cage("true")).status === 0;
const inCage = canCage && existsSync(CLI) ? test : test.skip;
if (!canCage) console.warn("No right to mount (root, and unshare): skipped, a read-only root.");

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());

inCage("the service needs no user, and no place to write", async () => {
  expect(spawnSync("unshare", cage("touch", "/tmp/x")).status).not.toBe(0);
  const databaseUrl = await createMigrated(postgres, "read_only");
  const [port, metricsPort] = [await findPort(), await findPort()];
  const child = spawn("unshare", cage(process.execPath, CLI, "start"), {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: asService(databaseUrl),
      JWT_SECRET: SECRET,
      HOST: "127.0.0.1",
      PORT: `${port}`,
      METRICS_PORT: `${metricsPort}`,
    },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  child.stdout.resume();
  const url = `http://127.0.0.1:${port}`;
  const isReady = () =>
    fetch(`${url}/readyz`).then(
      ({ status }) => status,
      () => said,
    );
  await expect.poll(isReady, { timeout: 30_000 }).toBe(200);

  const mint = createMinter({
    key: { kind: "secret", secret: SECRET },
    issuer: undefined,
    audience: undefined,
    userClaim: "sub",
  });
  const service = { url, token: (id: string) => mint(id) };
  const stream = await openStream(service, "1");
  await stream.waitFor(({ event }) => event === "ready");
  await postgres.query(
    "select bellwire.notify($1, $2, title => $3)",
    ["1", "note", "hello"],
    "read_only",
  );
  expect((await stream.take(1))[0]?.data.title).toBe("hello");

  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect({ code, said }).toEqual({ code: 0, said: "" });
});
