import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { asService } from "../../src/db/pool.ts";
import { createMinter } from "../../src/http/auth/sign.ts";
import { CLI } from "../support/cli.ts";
import { openStream } from "../support/event-source.ts";
import { findPort } from "./support/ports.ts";
import { openDatabase } from "./support/trial.ts";

const SECRET = "a secret that is long enough for HS256";

/** Like a container with a read-only root: the process is user nobody, and the whole file system is read-only. */
const ON_READ_ONLY_ROOT = [
  "mount --bind / /mnt",
  "mount -o remount,bind,ro /mnt",
  'exec chroot --userspec=65534:65534 /mnt "$@"',
].join(" && ");
const onReadOnlyRoot = (...command: string[]) => [
  ...["-m", "sh", "-c", ON_READ_ONLY_ROOT, "sh"],
  ...command,
];

const canMount = spawnSync("unshare", onReadOnlyRoot("true")).status === 0;
if (!canMount) console.warn("Skipped: a read-only root needs root and unshare.");

test.skipIf(!canMount)("the service needs no account and no writable folder", async () => {
  expect(spawnSync("unshare", onReadOnlyRoot("touch", "/tmp/x")).status).not.toBe(0);
  const { databaseUrl, query } = await openDatabase();
  const [port, metricsPort] = [await findPort(), await findPort()];
  const child = spawn("unshare", onReadOnlyRoot(process.execPath, CLI, "start"), {
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
  await query("select bellwire.notify($1, $2, title => $3)", ["1", "note", "hello"]);
  expect((await stream.take(1))[0]?.data.title).toBe("hello");

  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect({ code, said }).toEqual({ code: 0, said: "" });
});
