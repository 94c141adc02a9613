import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { installProgram } from "./support/npm.ts";

const SCHEMA = "@grafana/schema";
const VERSION = "13.2.3";
const TSC = resolve("node_modules/.bin/tsc");
const text = readFileSync("deploy/monitoring/dashboard.json", "utf8");

interface Panel {
  type: string;
  options: object;
  fieldConfig: { defaults: { custom: object } };
}

/** Grafana's types have enums, and a file has their values. */
const HEAD = `
import type { Dashboard } from "${SCHEMA}";
import type { Options as Stat } from "./node_modules/${SCHEMA}/dist/types/raw/composable/stat/panelcfg/x/types.gen.js";
import type { FieldConfig, Options as Timeseries } from "./node_modules/${SCHEMA}/dist/types/raw/composable/timeseries/panelcfg/x/types.gen.js";
type Plain<T> = T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
`;

/** The dashboard as a TypeScript program, which compiles if each field is one that Grafana knows. */
function toProgram(dashboard: string): string {
  const panels: Panel[] = JSON.parse(dashboard).panels;
  const values = panels.flatMap(({ type, options, fieldConfig }) => {
    if (type === "stat") return [["Partial<Stat>", options]];
    if (type === "timeseries")
      return [
        ["Partial<Timeseries>", options],
        ["FieldConfig", fieldConfig.defaults.custom],
      ];
    return [];
  });
  return [
    HEAD,
    `export const dashboard: Plain<Dashboard> = ${dashboard};`,
    ...values.map(
      ([type, value], i) => `export const part${i}: Plain<${type}> = ${JSON.stringify(value)};`,
    ),
  ].join("\n");
}

test("Grafana itself is not here, but the dashboard fits the types that Grafana publishes", async ({
  skip,
}) => {
  const installed = await installProgram(SCHEMA, VERSION);
  if (!installed) return skip();
  onTestFinished(installed.remove);
  const { folder } = installed;

  async function compile(dashboard: string): Promise<string> {
    await writeFile(join(folder, "dashboard.ts"), toProgram(dashboard));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"];
    return await new Promise((done) =>
      execFile(TSC, [...options, "dashboard.ts"], { cwd: folder }, (_, stdout) => done(stdout)),
    );
  }

  expect(await compile(text)).toBe("");
  // The types say no to what is wrong.
  expect(await compile(text.replace('"colorMode": "background"', '"colorMode": "bright"'))).toMatch(
    /"bright"/,
  );
  expect(await compile(text.replace('"schemaVersion": 42', '"schemaVersion": "x"'))).toMatch(
    /schemaVersion|string/,
  );
});
