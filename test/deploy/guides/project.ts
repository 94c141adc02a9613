import { execFile } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { inject } from "vitest";
import { readVersion } from "../../../src/version.ts";
import { createDatabase } from "../../support/database.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A command's exit code, and what it printed on both outputs. */
type Ended = { code: number; output: string };

/**
 * One of the projects beside this file, in a temporary folder: with its packages, Bellwire as it is published, and an empty database on
 * PostgreSQL 18.
 */
export async function openProject(name: string, settings: Record<string, string> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-guide-"));
  const project = join(folder, name);
  await cp(join(ROOT, "test/deploy/guides", name), project, { recursive: true });
  const [server] = inject("servers");
  const database = await createDatabase(server, { empty: true });
  const env = { ...process.env, DATABASE_URL: database.url, LOG_LEVEL: "warn", ...settings };

  async function end(program: string, ...args: string[]): Promise<Ended> {
    const options = { cwd: project, env, timeout: 110_000, maxBuffer: 2 ** 26 };
    try {
      const { stdout, stderr } = await promisify(execFile)(program, args, options);
      return { code: 0, output: stdout + stderr };
    } catch (err) {
      const { code, stdout, stderr } = err as { code?: unknown; stdout: string; stderr: string };
      if (typeof code !== "number") throw err;
      return { code, output: stdout + stderr };
    }
  }

  /** Resolves to what it printed. Rejects unless it exits with 0. */
  async function run(program: string, ...args: string[]): Promise<string> {
    const { code, output } = await end(program, ...args);
    if (code !== 0) throw new Error(`${program} ${args.join(" ")} exited with ${code}: ${output}`);
    return output;
  }

  await run("npm", "pack", ROOT, "--ignore-scripts", "--pack-destination", folder);
  const options = ["--ignore-scripts", "--prefer-offline", "--no-audit"];
  await run("npm", "install", ...options, join(folder, `bellwire-${readVersion()}.tgz`));

  const count = async () => {
    const [row] = await database.query<{ count: number }>(
      "select count(*)::integer as count from bellwire.notifications where type = 'response.received'",
    );
    return row?.count ?? 0;
  };

  return {
    folder: project,
    query: database.query,
    end,
    run,
    script: (script: string) => run("npm", "run", "-s", script),
    bellwire: (...args: string[]) => end("npx", "bellwire", ...args),
    /** Inserts a response with the tool's own client. Resolves to the number of notifications that this made. */
    async insert(): Promise<number> {
      const before = await count();
      await run("npm", "run", "-s", "insert");
      return (await count()) - before;
    },
    async close() {
      await database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
