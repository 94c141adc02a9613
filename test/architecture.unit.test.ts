import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** Single files in one folder, which may import one another. */
const GROUND = [
  "config",
  "database-url",
  "exit-code",
  "last-resort",
  "last-warnings",
  "logger",
  "node-version",
  "output",
  "version",
];

/** Lowest first. A part imports from itself and from lower floors. Parts of one floor do not import each other. */
const FLOORS = [
  ["changes"],
  GROUND,
  ["db", "feed", "hub", "migrate", "embedded"],
  ["http"],
  ["connections", "api", "demo"],
  ["transports"],
  ["metrics"],
  ["app", "doctor", "top"],
  ["main", "service"],
  ["commands"],
  ["cli"],
];

/** The only parts that may import a package. The generated client counts as a package, although it is files of ours. */
const PACKAGES: [pattern: RegExp, parts: string[]][] = [
  [/^pg$/, ["db", "migrate", "embedded", "demo", "doctor", "commands"]],
  [/^(pg-listen|@prisma\/.*)$/, ["db"]],
  [/^src\/db\/generated\//, ["db"]],
  [/^express$/, ["http", "api", "demo", "transports"]],
  [/^(jose|cookie|raw-body)$/, ["http"]],
  [/^(cors|zod-openapi)$/, ["api"]],
  [/^ipaddr\.js$/, ["connections"]],
  [/^prom-client$/, ["metrics"]],
];

/** The one file that may read the environment. */
const ENVIRONMENT = "src/main.ts";

const IMPORT =
  /(?:^|[;\n])[ \t]*(?:import|export)\s+(?:type\s)?(?:[\w*{}\s,$]+?from\s*)?["']([^"']+)["']|\bimport\s*\(\s*["'`]([^"'`]+)["'`]/g;
const READS_ENVIRONMENT =
  /\bprocess\s*(?:\?\.|\.)\s*env\b|\bprocess\s*(?:\?\.)?\s*\[|\{[^}]*\benv\b[^}]*\}\s*(?:=\s*process\b|from\s*["'](?:node:)?process["'])/;
const REEXPORT =
  /\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})(?:\s*from\s*["'][^"']+["'])?\s*;?/g;
const IMPORT_STATEMENT = /\bimport\s[^;]*?["'][^"']+["']\s*;?/g;

/** What breaks a rule above in these sources, as `<file> <how>`. Keys are paths from the repository's root. */
function violations(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  const readers: string[] = [];
  for (const [path, text] of files) {
    const source = withoutComments(text);
    for (const breach of [...importBreaches(path, source), ...barrelBreach(source)])
      found.push(`${path} ${breach}`);
    if (READS_ENVIRONMENT.test(source)) readers.push(path);
  }
  for (const circle of circles(files)) found.push(`${circle} import one another`);
  for (const path of readers)
    if (path !== ENVIRONMENT) found.push(`${path} reads process.env, which only main.ts may`);
  if (!readers.includes(ENVIRONMENT)) found.push(`${ENVIRONMENT} does not read process.env`);
  return found;
}

function importBreaches(path: string, source: string): string[] {
  const part = partOf(path);
  const floor = floorOf(part);
  if (floor === -1) return ["belongs to no floor"];
  return [...source.matchAll(IMPORT)].flatMap(([, specifier, dynamic]) => {
    const name = specifier ?? dynamic ?? "";
    const target = name.startsWith(".") ? posix.join(dirname(path), name) : name;
    const owners = PACKAGES.find(([pattern]) => pattern.test(target))?.[1];
    if (owners && !owners.includes(part))
      return [`imports ${target}, which only ${owners.join(", ")} may`];
    if (target === name) return [];
    if (!target.startsWith("src/")) return [`imports ${target}, which is outside src`];
    return directionBreach(path, target);
  });
}

function directionBreach(path: string, target: string): string[] {
  const [from, to] = [partOf(path), partOf(target)];
  const [floor, below] = [floorOf(from), floorOf(to)];
  if (below === -1) return [`imports ${target}, which belongs to no floor`];
  if (from === to) {
    const isNear =
      isWithin(dirname(path), dirname(target)) || isWithin(dirname(target), dirname(path));
    return isNear ? [] : [`imports ${target} from a folder beside its own`];
  }
  if (below > floor) return [`imports ${target} from a higher floor`];
  const areGround = GROUND.includes(from) && GROUND.includes(to);
  if (below === floor && !areGround) return [`imports ${target} from the part beside it`];
  return [];
}

/** The circles of imports within a part, as `a → b → a`, including types. A circle between parts breaks the rule of floors already. */
function circles(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  function walk(path: string, trail: readonly string[]): void {
    if (trail.includes(path))
      return void found.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    const text = files.get(path);
    if (text === undefined || done.has(path)) return;
    for (const [, specifier, dynamic] of withoutComments(text).matchAll(IMPORT)) {
      const target = posix.join(dirname(path), specifier ?? dynamic ?? "");
      if (partOf(target) === partOf(path)) walk(target, [...trail, path]);
    }
    done.add(path);
  }
  for (const path of files.keys()) walk(path, []);
  return found;
}

function barrelBreach(source: string): string[] {
  const rest = source.replace(REEXPORT, "").replace(IMPORT_STATEMENT, "").trim();
  return rest === "" && source.trim() !== "" ? ["only re-exports"] : [];
}

/** `src/transports/sse/route.ts` belongs to transports, `src/main.ts` to main. */
const partOf = (path: string) => /^src\/([^/.]+)/.exec(path)?.[1] ?? "";
const floorOf = (part: string) => FLOORS.findIndex((parts) => parts.includes(part));
const isWithin = (folder: string, ancestor: string) =>
  folder === ancestor || folder.startsWith(`${ancestor}/`);

/** Removes comments. It knows strings, so that a URL in a string (`https://…`) does not begin a comment. */
function withoutComments(text: string): string {
  const token =
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return text.replace(token, (_, string?: string) => string ?? "");
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function readSources(): Map<string, string> {
  const names = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const paths = names
    .map((name) => posix.join("src", name.replaceAll("\\", "/")))
    .filter((path) => path.endsWith(".ts") && !path.startsWith("src/db/generated/"));
  return new Map(paths.map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));
}

const sources = readSources();

test("every import goes to the file's own folder or to a lower floor", () => {
  expect(sources.size).toBeGreaterThan(40);
  expect(violations(sources)).toEqual([]);
});

test("no import statement of src is overlooked", () => {
  for (const [path, text] of sources) {
    const source = withoutComments(text);
    const ends = source.match(/^(?:import|export|\}).* from ["'][^"']+["'];$|^import ["']/gm);
    const seen = [...source.matchAll(IMPORT)].filter(([, specifier]) => specifier);
    expect(seen.length, path).toBe(ends?.length ?? 0);
  }
});

describe("a planted violation is named:", () => {
  const SPECIMENS: [what: string, path: string, line: string, expected: string][] = [
    [
      "db imports http",
      "src/db/pool.ts",
      'import { parse } from "../http/parse.ts";',
      "imports src/http/parse.ts from a higher floor",
    ],
    [
      "config imports db",
      "src/config.ts",
      'import type { Pool } from "./db/pool.ts";',
      "imports src/db/pool.ts from a higher floor",
    ],
    [
      "app imports main",
      "src/app/app.ts",
      'export { loadConfig } from "../main.ts";',
      "imports src/main.ts from a higher floor",
    ],
    [
      "main imports cli, late",
      "src/main.ts",
      'const cli = await import("./cli.ts");',
      "imports src/cli.ts from a higher floor",
    ],
    [
      "main imports cli for its effects",
      "src/main.ts",
      'import "./cli.ts";',
      "imports src/cli.ts from a higher floor",
    ],
    [
      "main imports a command",
      "src/main.ts",
      'import { token } from "./commands/token.ts";',
      "imports src/commands/token.ts from a higher floor",
    ],
    [
      "the package's entry imports the process",
      "src/service.ts",
      'import { loadConfig } from "./main.ts";',
      "imports src/main.ts from the part beside it",
    ],
    [
      "feed imports hub, a type",
      "src/feed/feed.ts",
      'import type { Hub } from "../hub/hub.ts";',
      "imports src/hub/hub.ts from the part beside it",
    ],
    [
      "hub imports feed",
      "src/hub/hub.ts",
      'import { createFeed } from "../feed/feed.ts";',
      "imports src/feed/feed.ts from the part beside it",
    ],
    [
      "hub imports a type of what reads the database",
      "src/hub/follow.ts",
      'import type { Reader } from "../db/changes-reader.ts";',
      "imports src/db/changes-reader.ts from the part beside it",
    ],
    [
      "feed imports what reads the database",
      "src/feed/feed.ts",
      'import { createChangesReader } from "../db/changes-reader.ts";',
      "imports src/db/changes-reader.ts from the part beside it",
    ],
    [
      "the service's SQL imports migrate",
      "src/db/pool.ts",
      'import { migrate } from "../migrate/migrate.ts";',
      "imports src/migrate/migrate.ts from the part beside it",
    ],
    [
      "changes imports anything",
      "src/changes/cursor.ts",
      'import type { Logger } from "../logger.ts";',
      "imports src/logger.ts from a higher floor",
    ],
    [
      "http imports a transport",
      "src/http/server.ts",
      'import { LAST_CHUNK } from "../transports/sse/frame.ts";',
      "imports src/transports/sse/frame.ts from a higher floor",
    ],
    [
      "connections imports a transport",
      "src/connections/limits.ts",
      'import type { Frame } from "../transports/sse/frame.ts";',
      "imports src/transports/sse/frame.ts from a higher floor",
    ],
    [
      "connections imports the API",
      "src/connections/limits.ts",
      'import { OPERATIONS } from "../api/operations.ts";',
      "imports src/api/operations.ts from the part beside it",
    ],
    [
      "a transport imports another",
      "src/transports/poll/poll.ts",
      'import type { Frame } from "../sse/frame.ts";',
      "imports src/transports/sse/frame.ts from a folder beside its own",
    ],
    [
      "a transport imports the metrics",
      "src/transports/poll/poll.ts",
      'import type { Metrics } from "../../metrics/metrics.ts";',
      "imports src/metrics/metrics.ts from a higher floor",
    ],
    [
      "connections imports express",
      "src/connections/limits.ts",
      'import type { Request } from "express";',
      "imports express, which only http, api, demo, transports may",
    ],
    [
      "api imports pg",
      "src/api/inbox.ts",
      'import pg from "pg";',
      "imports pg, which only db, migrate, embedded, demo, doctor, commands may",
    ],
    [
      "app imports pg-listen, late",
      "src/app/app.ts",
      'const listen = await import("pg-listen");',
      "imports pg-listen, which only db may",
    ],
    [
      "api imports a type of Prisma",
      "src/api/inbox.ts",
      "import type { Sql } from '@prisma/client/runtime/client';",
      "imports @prisma/client/runtime/client, which only db may",
    ],
    [
      "api imports the generated client",
      "src/api/inbox.ts",
      'import { Prisma } from "../db/generated/client.ts";',
      "imports src/db/generated/client.ts, which only db may",
    ],
    [
      "app imports express",
      "src/app/app.ts",
      'import express from "express";',
      "imports express, which only http, api, demo, transports may",
    ],
    [
      "a transport imports jose",
      "src/transports/poll/poll.ts",
      'import * as jose from "jose";',
      "imports jose, which only http may",
    ],
    [
      "cli imports cookie",
      "src/cli.ts",
      'import { parseCookie } from "cookie";',
      "imports cookie, which only http may",
    ],
    [
      "hub imports prom-client",
      "src/hub/hub.ts",
      'import { Counter } from "prom-client";',
      "imports prom-client, which only metrics may",
    ],
    [
      "db imports a test",
      "src/db/pool.ts",
      'import { call } from "../../test/support/service.ts";',
      "imports test/support/service.ts, which is outside src",
    ],
    [
      "api imports a file without a floor",
      "src/api/router.ts",
      'import { pick } from "../utils.ts";',
      "imports src/utils.ts, which belongs to no floor",
    ],
    ["a file without a floor", "src/utils.ts", "export const pick = 1;", "belongs to no floor"],
    [
      "process.env elsewhere",
      "src/api/router.ts",
      "const port = process.env.PORT;",
      "reads process.env, which only main.ts may",
    ],
    [
      "process.env by its name",
      "src/db/pool.ts",
      'const all = process["env"];',
      "reads process.env, which only main.ts may",
    ],
    [
      "process.env taken apart",
      "src/db/pool.ts",
      "const { env } = process;",
      "reads process.env, which only main.ts may",
    ],
    [
      "process.env imported",
      "src/logger.ts",
      'import { env } from "node:process";',
      "reads process.env, which only main.ts may",
    ],
    [
      "a barrel",
      "src/hub/index.ts",
      'export * from "./hub.ts";\nexport type { Sink } from "./follow.ts";',
      "only re-exports",
    ],
    [
      "a barrel by way of imports",
      "src/http/index.ts",
      'import { parse } from "./parse.ts";\n\nexport { parse };',
      "only re-exports",
    ],
  ];

  test.each(SPECIMENS)("%s", (_, path, line, expected) => {
    const planted = new Map(sources).set(path, `${line}\n${sources.get(path) ?? ""}`);
    expect(violations(planted)).toEqual([`${path} ${expected}`]);
  });

  test("two files of one folder import one another", () => {
    const planted = new Map(sources).set(
      "src/changes/notification.ts",
      `import type { Changes } from "./changes.ts";\n${sources.get("src/changes/notification.ts")}`,
    );
    expect(violations(planted)).toEqual([
      "src/changes/changes.ts → src/changes/notification.ts → src/changes/changes.ts import one another",
    ]);
  });

  test("main.ts no longer reads the environment", () => {
    const planted = new Map(sources).set(ENVIRONMENT, "export const main = 1;");
    expect(violations(planted)).toEqual([`${ENVIRONMENT} does not read process.env`]);
  });

  test("but not in a comment, and an address in a string begins none", () => {
    const text = `// import pg from "pg";
      /* process.env.PORT */
      const url = "https://example.org"; import express from "express";`;
    const planted = new Map(sources).set("src/db/pool.ts", text);
    expect(violations(planted)).toEqual([
      "src/db/pool.ts imports express, which only http, api, demo, transports may",
    ]);
  });
});
