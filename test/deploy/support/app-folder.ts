import { chmod, cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { asService } from "../../../src/db/pool.ts";
import { createMinter } from "../../../src/http/auth/sign.ts";
import { findPort } from "../../faults/support/ports.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SECRET = "a secret that is long enough for HS256";

/** A built Bellwire in a folder of its own, as on a server, which every user may read. Removed when the test ends. */
export async function copyApp(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-app-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  for (const name of ["dist", "migrations", "sql", "deploy", "package.json"])
    await cp(join(ROOT, name), join(folder, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** The same, with its settings in `.env`. */
export async function createAppFolder(databaseUrl: string) {
  const folder = await copyApp();
  const port = await findPort();
  const metricsPort = await findPort();
  const settings = {
    DATABASE_URL: asService(databaseUrl),
    JWT_SECRET: SECRET,
    PORT: `${port}`,
    METRICS_PORT: `${metricsPort}`,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  await writeFile(join(folder, ".env"), `${lines.join("\n")}\n`);
  const key = { kind: "secret", secret: SECRET } as const;
  return {
    folder,
    port,
    metricsPort,
    url: `http://127.0.0.1:${port}`,
    token: createMinter({ key, issuer: undefined, audience: undefined, userClaim: "sub" }),
  };
}
