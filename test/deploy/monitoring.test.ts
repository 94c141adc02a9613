import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { parse, stringify } from "yaml";
import { startForwarder } from "../faults/support/forwarder.ts";
import { findPort } from "../faults/support/ports.ts";
import { startServiceProcess } from "../faults/support/service-process.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";

const MONITORING = "deploy/monitoring";
const PROMTOOL = "/usr/bin/promtool";
const PROMETHEUS = "/usr/bin/prometheus";
const read = (name: string) => readFileSync(`${MONITORING}/${name}`, "utf8");

describe.skipIf(!existsSync(PROMTOOL))("promtool says that", () => {
  test.each([
    ["the alerts are valid", ["check", "rules", `${MONITORING}/alerts.yaml`]],
    ["the configuration is valid", ["check", "config", `${MONITORING}/prometheus.yaml`]],
    [
      "each alert fires when it should, and not otherwise",
      ["test", "rules", "test/deploy/alerts.promtool.yaml"],
    ],
  ])("%s", (_, args) => {
    const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { encoding: "utf8" });
    expect(stdout + stderr).not.toMatch(/FAILED|error/i);
    expect(status).toBe(0);
  });
});

/** The shipped files, but every second, and with seconds for minutes. */
async function writeFiles(folder: string, metricsUrl: string): Promise<void> {
  const config = parse(read("prometheus.yaml"));
  config.global = { scrape_interval: "1s", evaluation_interval: "1s" };
  config.scrape_configs[0].static_configs[0].targets = [new URL(metricsUrl).host];
  await writeFile(join(folder, "prometheus.yaml"), stringify(config));
  const alerts = read("alerts.yaml")
    .replace(/for: \d+m/g, "for: 1s")
    .replace(/\[\d+m\]/g, "[10s]");
  await writeFile(join(folder, "alerts.yaml"), alerts);
}

/** Debian's Prometheus, which ends with the test. */
async function startPrometheus(metricsUrl: string) {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-prometheus-"));
  await writeFiles(folder, metricsUrl);
  const port = await findPort();
  const child: ChildProcess = spawn(
    PROMETHEUS,
    [
      `--config.file=${folder}/prometheus.yaml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: "ignore" },
  );
  onTestFinished(async () => {
    child.kill();
    if (child.exitCode === null) await once(child, "exit");
    await rm(folder, { recursive: true });
  });

  async function ask(path: string) {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
    const body = (await response.json()) as any;
    if (body.status !== "success") throw new Error(`${path}: ${body.error}`);
    return body.data;
  }
  await vi.waitFor(() => ask("targets"), { timeout: 30_000, interval: 100 });
  return {
    ask,
    query: async (expression: string) =>
      (await ask(`query?query=${encodeURIComponent(expression)}`)).result as unknown[],
    async firing(): Promise<string[]> {
      const { alerts } = await ask("alerts");
      return alerts
        .filter(({ state }: { state: string }) => state === "firing")
        .map(({ labels }: { labels: { alertname: string } }) => labels.alertname);
    },
  };
}

/** A rule that fails for the job 0. */
async function defineJobRule(database: TestDatabase): Promise<void> {
  await database.query("create table if not exists jobs (id int, owner text)");
  await database.query("grant select on jobs to bellwire_rules");
  await database.query(
    `select bellwire.define_rule('job_told', 'jobs', 'insert',
       $$ select owner as recipient_id, 'job' as type, (100 / id)::text as title from new_rows $$)`,
  );
}

describe.skipIf(!existsSync(PROMETHEUS))("a real Prometheus on a running service", () => {
  const eventually = (check: () => Promise<void>) =>
    vi.waitFor(check, { timeout: 90_000, interval: 200 });

  async function start(prepare: (database: TestDatabase) => Promise<void> = async () => {}) {
    const database = await createDatabase();
    onTestFinished(database.close);
    await prepare(database);
    const forwarder = await startForwarder(Number(new URL(database.url).port));
    const directUrl = new URL(database.url);
    directUrl.port = String(forwarder.port);
    const service = await startServiceProcess({
      databaseUrl: database.url,
      directUrl: directUrl.href,
    });
    await service.waitUntilReady();
    const prometheus = await startPrometheus(service.metricsUrl);
    // Until its first scrape it takes the service for absent.
    await eventually(async () => {
      expect(await prometheus.query("up == 1")).toHaveLength(1);
      expect(await prometheus.firing()).not.toContain("BellwireDown");
    });
    return { database, forwarder, service, prometheus };
  }

  test("scrapes it, and knows every expression of alerts and dashboard", async () => {
    const { prometheus } = await start();
    await eventually(async () => {
      const { activeTargets } = await prometheus.ask("targets");
      expect(activeTargets).toMatchObject([{ health: "up", labels: { job: "bellwire" } }]);
      const { groups } = await prometheus.ask("rules");
      expect(groups[0].rules).toHaveLength(parse(read("alerts.yaml")).groups[0].rules.length);
      for (const { name, health } of groups[0].rules) expect(health, name).toBe("ok");
    });
    const { panels } = JSON.parse(read("dashboard.json")) as {
      panels: { title: string; targets?: { expr: string }[] }[];
    };
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) {
        const expression = expr
          .replaceAll("$job", "bellwire")
          .replaceAll("$instance", ".+")
          .replaceAll("$__rate_interval", "5m");
        await expect(prometheus.query(expression), title).resolves.toBeInstanceOf(Array);
      }
    expect(await prometheus.query("bellwire_max_streams")).toHaveLength(1);
    expect(await prometheus.firing()).toEqual([]);
  });

  test("fires when the listener's network is cut, and resolves", async () => {
    const { forwarder, prometheus } = await start();
    forwarder.refuse();
    forwarder.cutAll();
    await eventually(async () =>
      expect(await prometheus.firing()).toContain("BellwireNotListening"),
    );
    forwarder.accept();
    await eventually(async () => expect(await prometheus.firing()).toEqual([]));
  });

  test("fires when a rule fails, and resolves", async () => {
    const { database, prometheus } = await start(defineJobRule);
    await database.query("insert into jobs values (1, '2')");
    await eventually(async () =>
      expect(await prometheus.query('bellwire_rule_errors{rule="job_told"} == 0')).toHaveLength(1),
    );
    expect(await prometheus.firing()).toEqual([]);
    await database.query("insert into jobs values (0, '2')");
    await eventually(async () => expect(await prometheus.firing()).toContain("BellwireRuleFails"));
    await eventually(async () => expect(await prometheus.firing()).toEqual([]));
  });

  test("fires when a rule has lost its table, and resolves when it has it again", async () => {
    const { database, prometheus } = await start(async (own) => {
      await defineJobRule(own);
      await own.query("drop table jobs");
    });
    await eventually(async () => expect(await prometheus.firing()).toEqual(["BellwireRuleSilent"]));
    await defineJobRule(database);
    // The service looks at its rules once a minute.
    await eventually(async () => expect(await prometheus.firing()).toEqual([]));
  });

  test("fires when the service is killed, and resolves when it is back", async () => {
    const { service, prometheus } = await start();
    await service.kill("SIGKILL");
    await eventually(async () => expect(await prometheus.firing()).toEqual(["BellwireDown"]));
    await service.start();
    await eventually(async () => expect(await prometheus.firing()).toEqual([]));
  });
});
