import { chown, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runAs } from "./account.ts";
import type { Place } from "./place.ts";

/** An initdb takes a second, so no initdb is still working on a folder this old. */
const ABANDONED_MS = 600_000;

/**
 * Creates `<dir>/data` with user and password `postgres`, or checks that this PostgreSQL can open the existing one. The
 * folder is renamed to its name when it is complete, so a kill at any moment leaves no incomplete data.
 */
export async function prepareData(place: Place): Promise<void> {
  const data = join(place.dir, "data");
  const major = await readMajor(place);
  const found = (await readVersion(data)) ?? (await initialise(place, data));
  if (found !== major) {
    throw new Error(
      `The data in ${data} is of PostgreSQL ${found}, but the program is PostgreSQL ${major}. Move the data with ` +
        "pg_dump, or set EMBEDDED_PG_DIR to another folder.",
    );
  }
}

async function initialise({ dir, binaries, account }: Place, data: string) {
  await removeAbandoned(dir);
  const fresh = await mkdtemp(join(dir, "new-"));
  try {
    const passwordFile = join(fresh, "password");
    await writeFile(passwordFile, "postgres\n");
    if (account) {
      await chown(passwordFile, account.uid, account.gid);
      await chown(fresh, account.uid, account.gid);
    }
    await runAs(account, binaries.initdb, [
      `--pgdata=${join(fresh, "data")}`,
      "--username=postgres",
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
    ]).catch((err: unknown) => {
      throw new Error(`Could not create a database in ${dir}`, { cause: err });
    });
    // Fails if another start has just created its own, which is then used.
    await rename(join(fresh, "data"), data).catch(async (err) => {
      if (!(await readVersion(data))) throw err;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return await readVersion(data);
}

async function readMajor({ binaries, account }: Place): Promise<string | undefined> {
  const text = await runAs(account, binaries.postgres, ["--version"]).catch((err: unknown) => {
    throw new Error(
      "The embedded PostgreSQL does not run on this system (on Linux it needs glibc, not musl). Set DATABASE_URL " +
        "to use your own PostgreSQL.",
      { cause: err },
    );
  });
  return /\(PostgreSQL\) (\d+)/.exec(text)?.[1]; // "postgres (PostgreSQL) 18.4"
}

async function readVersion(data: string): Promise<string | undefined> {
  const text = await readFile(join(data, "PG_VERSION"), "utf8").catch(() => undefined);
  return text?.trim();
}

async function removeAbandoned(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!name.startsWith("new-")) continue;
    const { mtimeMs } = await stat(join(dir, name));
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(join(dir, name), { recursive: true });
  }
}
