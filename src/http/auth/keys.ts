import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Config, KeyConfig } from "../../config.ts";

/** The configured key, or in embedded mode without one the generated secret. */
export async function verificationKey({
  key,
  database,
}: Pick<Config, "key" | "database">): Promise<Exclude<KeyConfig, { kind: "generated" }>> {
  if (key.kind !== "generated") return key;
  return { kind: "secret", secret: await readOrCreate(secretPath(database)) };
}

/** The same without creating the secret: one that no service has would sign tokens that every service refuses. */
export async function signingKey({
  key,
  database,
}: Pick<Config, "key" | "database">): Promise<Exclude<KeyConfig, { kind: "generated" }>> {
  if (key.kind !== "generated") return key;
  const path = secretPath(database);
  const secret = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new Error(
      cause.code === "ENOENT"
        ? `There is no secret in ${path}. Run this in the folder where bellwire start ran, or set EMBEDDED_PG_DIR or JWT_SECRET as there.`
        : `Cannot read the secret in ${path} (${cause.code}). Run this as the user of bellwire start.`,
      { cause },
    );
  });
  return { kind: "secret", secret };
}

function secretPath(database: Config["database"]): string {
  if (database.kind !== "embedded") throw new Error("a key is generated in embedded mode only");
  return resolve(dirname(database.dir), "jwt-secret");
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
