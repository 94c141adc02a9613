import { readFileSync } from "node:fs";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { parse } from "yaml";
import { createDatabase } from "./support/database.ts";
import { openStream } from "./support/event-source.ts";
import { selectedBy } from "./support/promql.ts";
import { startService } from "./support/service.ts";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; runbook_url: string };
}
interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { h: number; w: number; x: number; y: number };
  targets?: { refId: string; expr: string; legendFormat: string }[];
}
const rules: Rule[] = parse(read("deploy/monitoring/alerts.yaml")).groups[0].rules;
const dashboard: { panels: Panel[] } = JSON.parse(read("deploy/monitoring/dashboard.json"));

const EXPRESSIONS: [where: string, expression: string][] = [
  ...rules.map(({ alert, expr }): [string, string] => [alert, expr]),
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }): [string, string] => [`the panel ${title}`, expr]),
  ),
];

describe("names are read from an expression:", () => {
  test.each([
    ['up{job="a"} == 0 or absent(up{job="a"})', ["up"], ["job"], ["a"]],
    ["sum by (le, job) (rate(x_bucket[5m])) > 1e3", ["x_bucket"], ["job", "le"], []],
    ["sum(a) by (b) / on (c) group_left d offset 5m", ["a", "d"], ["b", "c"], []],
    ['max(a{b=~"$c", e!="f"}[$__rate_interval])', ["a"], ["b", "e"], ["$c", "f"]],
  ])("%s", (expression, metrics, labels, values) => {
    const selected = selectedBy(expression);
    expect([...selected.metrics].sort()).toEqual(metrics);
    expect([...selected.labels].sort()).toEqual(labels);
    expect([...selected.values].sort()).toEqual(values);
  });
});

test("every metric and label that alerts and dashboard name is exported by a running service", async () => {
  const exported = await exportEverything();
  const unknown = EXPRESSIONS.flatMap(([where, expression]) => {
    const { metrics, labels } = selectedBy(expression);
    const known = [...metrics].flatMap((metric) => [...(exported.get(metric) ?? [])]);
    return [
      ...[...metrics].filter((metric) => metric !== "up" && !exported.has(metric)),
      // Prometheus adds these two to each series.
      ...[...labels].filter((label) => ![...known, "job", "instance"].includes(label)),
    ].map((name) => `${where}: ${name}`);
  });
  expect(unknown).toEqual([]);
});

test("every reason that they name exists", () => {
  const source = read("src/connections/close-reason.ts");
  const named = EXPRESSIONS.flatMap(([, expression]) => [...selectedBy(expression).values]);
  const reasons = named.filter((value) => !/^(\$.*|bellwire|)$/.test(value));
  expect(reasons).not.toEqual([]);
  for (const reason of reasons) expect(source).toContain(`"${reason}"`);
});

/**
 * The labels of each metric of a service with which everything has happened: a counter with a label has no sample before its first
 * event.
 */
async function exportEverything(): Promise<Map<string, Set<string>>> {
  const database = await createDatabase();
  onTestFinished(database.close);
  const service = await startService({ databaseUrl: database.url, env: { MAX_STREAMS: "1" } });
  const scrape = async () => readExported(await (await fetch(service.metricsUrl)).text());
  const stream = await openStream(service, "2", { lastEventId: "no cursor of ours" });
  await stream.waitFor(({ event }) => event === "reset");
  await database.query(
    `select bellwire.define_rule('told', 'public.messages', 'insert',
       $$ select recipient_id, 'note' as type from new_rows $$)`,
  );
  await database.query("select bellwire.notify('2', 'note')");
  await stream.take(1);
  const refused = await openStream(service, "3");
  await refused.ended;
  const writer = await database.connect();
  await writer.query("begin");
  await writer.query("select bellwire.notify('2', 'note')");
  const before = await scrape();
  await writer.query("rollback");
  stream.close();
  return await vi.waitFor(async () => {
    const after = await scrape();
    expect(after.get("bellwire_stream_closes_total")).toEqual(new Set(["reason"]));
    return new Map([...before, ...after]);
  });
}

const SAMPLE = /^(\w+)(?:\{(.*)\})? \S+$/gm;

function readExported(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = "", labels = ""] of text.matchAll(SAMPLE)) {
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label = ""]) => label);
    found.set(name, new Set([...(found.get(name) ?? []), ...names]));
  }
  return found;
}

describe("each alert", () => {
  const sections = new Map(
    read("docs/alerts.md")
      .split(/^## /m)
      .slice(1)
      .map((text) => [/^\S+/.exec(text)?.[0], text]),
  );

  test("has its section in docs/alerts.md, in the same order, and no other has", () => {
    expect([...sections.keys()]).toEqual(rules.map(({ alert }) => alert));
  });

  test.each(rules)("$alert says how bad it is, what it is, and where to read on", (rule) => {
    expect(["critical", "warning"]).toContain(rule.labels.severity);
    expect(rule.annotations.summary).toMatch(/^\S.{10,}[^.]$/);
    const anchor = rule.alert.toLowerCase();
    expect(rule.annotations.runbook_url).toMatch(new RegExp(`/docs/alerts\\.md#${anchor}$`));
    expect(sections.get(rule.alert)).toMatch(/^\*\*Do\*\*|\| do \|/m);
  });

  test("says SQL that runs", async () => {
    const database = await createDatabase();
    onTestFinished(database.close);
    const statements = [...read("docs/alerts.md").matchAll(/`((?:select|delete) [^`]+)`/g)];
    expect(statements.length).toBeGreaterThan(7);
    for (const [, statement = ""] of statements)
      await database.query(statement.replace("<pid>", "0").replace("<rule>", "a rule"));
  });

  test("is tried by promtool with series of a service that is well, and of one that is not", () => {
    interface Case {
      alert_rule_test: { alertname: string; exp_alerts: unknown[] }[];
    }
    const { tests }: { tests: Case[] } = parse(read("test/deploy/alerts.promtool.yaml"));
    const tried = tests.flatMap(({ alert_rule_test }) =>
      alert_rule_test.map(({ alertname, exp_alerts }) => [alertname, exp_alerts.length]),
    );
    expect(tried).toEqual(
      rules.flatMap(({ alert }) => [
        [alert, 0],
        [alert, 1],
      ]),
    );
  });
});

describe("the dashboard", () => {
  const { panels } = dashboard;

  test("has panels with an id of their own, a title and a sentence", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const shown = panels.filter(({ type }) => type !== "row");
    expect(shown.length).toBeGreaterThan(15);
    for (const { title, description, targets } of shown) {
      expect(description, title).toMatch(/\.$/);
      expect(targets, title).not.toEqual([]);
    }
  });

  test("has no two panels in one place", () => {
    const taken = new Set<string>();
    for (const { gridPos, title } of panels)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(x, title).toBeLessThan(24);
          expect(taken, title).not.toContain(`${x} ${y}`);
          taken.add(`${x} ${y}`);
        }
  });

  test("asks only for the chosen job and instances", () => {
    for (const { targets = [], title } of panels)
      for (const { expr } of targets) {
        const { metrics } = selectedBy(expr);
        const chosen = expr.split('{job="$job", instance=~"$instance"}').length - 1;
        expect(chosen, title).toBe(metrics.size);
      }
  });
});
