import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { CLI } from "./support/cli.ts";
import { administer, createDatabase, type TestDatabase } from "./support/database.ts";
import { openStream } from "./support/event-source.ts";
import { type Service, startService } from "./support/service.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.close());

const portOf = ({ metricsUrl }: Pick<Service, "metricsUrl">) => new URL(metricsUrl).port;
const isReady = ({ event }: { event: string }) => event === "ready";

/** Runs a program away from any `.env`. `text` is what it has said so far. */
function launch(program: string, args: string[], port: string) {
  const child = spawn(program, args, {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH ?? "", METRICS_PORT: port, TERM: "xterm" },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  for (const output of [child.stdout, child.stderr])
    output.on("data", (chunk) => {
      said += chunk;
    });
  const ended = once(child, "close").then(([code]) => ({ code, text: said }));
  return { child, ended, text: () => said };
}

const snapshot = (service: Pick<Service, "metricsUrl">) =>
  launch(process.execPath, [CLI, "top"], portOf(service)).ended;

describe("in a pipe it prints one screen", () => {
  test("with who is connected, the rates of a second, and the lag", async () => {
    const service = await startService({ databaseUrl: database.url });
    const streams = [await openStream(service, "2"), await openStream(service, "2")];
    for (const stream of streams) await stream.waitFor(isReady);
    const shown = snapshot(service);
    // So that some come between the two looks at the totals.
    let isDone = false;
    const write = async (): Promise<void> => {
      await database.query("select bellwire.notify('2', 'note')");
      if (!isDone) return write();
    };
    const writing = write();
    const { code, text } = await shown;
    isDone = true;
    await writing;

    expect(code).toBe(0);
    expect(text).toMatch(/^bellwire \S+, up \d+ s, pid \d+, Node \S+, [\d.]+ MiB\n/);
    expect(text).toMatch(/^health +well$/m);
    expect(text).toMatch(/^connected +recipients 1, streams 2 of 20,000, waiting polls 0/m);
    expect(text).toMatch(/^events +[\d,.]*[1-9][\d,.]*\/s notifications, 0.0\/s states$/m);
    expect(text).toMatch(/^lag +delivery p50 [\d.]+ ms, p99 [\d.]+ m?s of [\d,]+ in a minute;/m);
    expect(text).toMatch(/^database +requests \d of 5 in use/m);
    expect(text).not.toContain("\x1b");
  });

  test("a warning of the health exits with 1, a problem with 2, and the last errors are there", async () => {
    const own = await createDatabase();
    onTestFinished(own.close);
    await own.query("select bellwire.suspend_wakeups()");
    const service = await startService({ databaseUrl: own.url, env: { SWEEP_MS: "50" } });
    const warned = await snapshot(service);
    expect(warned.text).toMatch(/^look +wake-ups are suspended for good/m);
    expect(warned.code).toBe(1);
    await administer(`drop database ${new URL(own.url).pathname.slice(1)} with (force)`);
    await vi.waitFor(
      async () => {
        const { code, text } = await snapshot(service);
        expect(text).toMatch(/^BROKEN +the database refuses the read \(SQLSTATE 3D000\)/m);
        expect(text).toMatch(/^\S+Z warn +cannot read; trying again at every sweep: .*3D000$/m);
        expect(code).toBe(2);
      },
      { timeout: 30_000 },
    );
  });
});

describe("it says what to do", () => {
  test("when nothing answers", async () => {
    const { code, text } = await snapshot({ metricsUrl: "http://127.0.0.1:1/metrics" });
    expect(code).toBe(2);
    expect(text).toMatch(/^Nothing answers on http:\/\/localhost:1\/status\.json\.\n/);
    expect(text).toMatch(/where the service runs, in its container if it has one.*METRICS_PORT/);
  });

  test.each([
    ["another program's page", 200, "<html>"],
    ["no such page", 404, ""],
    ["another release's status", 200, '{"version":"9.0.0"}'],
  ])("when what answers has %s", async (_, status, body) => {
    const server = createServer((_req, res) => void res.writeHead(status).end(body));
    onTestFinished(() => void server.close());
    await once(server.listen(0, "localhost"), "listening");
    const { port } = server.address() as AddressInfo;
    const { code, text } = await snapshot({ metricsUrl: `http://localhost:${port}/metrics` });
    expect(code).toBe(2);
    expect(text).toContain("is not this release of Bellwire");
    expect(text).toContain("Set METRICS_PORT");
  });
});

const SCRIPT = "/usr/bin/script";

/** `script` of util-linux gives it a terminal. */
describe.skipIf(!existsSync(SCRIPT))("in a terminal", () => {
  const watch = (service: Service) =>
    launch(
      SCRIPT,
      ["-qec", `stty rows 24 cols 60; ${process.execPath} ${CLI} top`, "/dev/null"],
      portOf(service),
    );
  const ENTERED = "\x1b[?1049h\x1b[?25l";
  const LEFT = "\x1b[?25h\x1b[?1049l";

  test.each([
    ["q", "q"],
    ["Ctrl-C", "\x03"],
  ])("it shows every second what is new, and %s gives the terminal back", async (_, key) => {
    const service = await startService({ databaseUrl: database.url });
    const top = watch(service);
    await expect.poll(top.text).toContain("streams 0");
    expect(top.text()).toContain(ENTERED);
    const stream = await openStream(service, "2");
    await stream.waitFor(isReady);
    await expect.poll(top.text).toContain("recipients 1, streams 1");
    // The second line is the first that a terminal of 60 columns cuts.
    const [line] = top
      .text()
      .split("\r\n")
      .filter((line) => line.startsWith("connected"));
    expect(line).toHaveLength(60 + "\x1b[K".length);

    expect(top.text()).not.toContain(LEFT);
    top.child.stdin.write(key);
    const { code, text } = await top.ended;
    expect(code).toBe(0);
    expect(text.endsWith(LEFT)).toBe(true);
  });

  test("a service that restarts is waited for", async () => {
    const before = await startService({ databaseUrl: database.url });
    const top = watch(before);
    await expect.poll(top.text).toContain("streams 0");
    await before.close();
    await expect.poll(top.text).toContain("Nothing answers");
    const seen = top.text().length;
    await startService({ databaseUrl: database.url, env: { METRICS_PORT: portOf(before) } });
    await expect.poll(() => top.text().slice(seen)).toContain("\x1b[Hbellwire");
    top.child.kill("SIGTERM");
  });
});
