import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Config, KeyConfig } from "../../config.ts";

/** The configured key, or in embedded mode without one the generated secret. */
export async function verificationKey({
  key,
  database,
}: Pick<Config, "key" | "database">): Promise<Exclude<KeyConfig, { kind: "generated" }>> {
  if (key.kind !== "generated") return key;
  if (database.kind !== "embedded") throw new Error("a key is generated in embedded mode only");
  return { kind: "secret", secret: await readOrCreate(join(dirname(database.dir), "jwt-secret")) };
}

/** The secret is stored next to the database, so that tokens stay valid across restarts. */
async function readOrCreate(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  const secret = randomBytes(32).toString("base64url");
  await writeFile(path, secret, { flag: "wx", mode: 0o600 }).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== "EEXIST") throw err;
  });
  return readFile(path, "utf8");
}
