import { createHash } from "node:crypto";
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Logger } from "../logger.ts";
import type { Binaries } from "./binaries.ts";

/**
 * Copies the programs to a folder where every account can run them, and returns the paths of the copy. It has about 60 MB, and is
 * made once per version. Each use checks it, because cleaners of /var/tmp delete single old files. Only root calls this.
 */
export async function shareBinaries(binaries: Binaries, log: Logger): Promise<Binaries> {
  const source = dirname(dirname(binaries.postgres));
  const digest = await digestOf(source);
  const copy = `/var/tmp/bellwire-postgres-${digest.slice(0, 16)}`;
  if (!(await isIntact(copy, digest))) {
    log.info(
      { folder: copy },
      "copying the database's programs to a folder where its account can run them",
    );
    const fresh = await mkdtemp(`${copy}.`);
    await copyFolder(source, fresh);
    await rename(fresh, copy).catch(async (err) => {
      await rm(fresh, { recursive: true });
      // Another start was faster. A folder under this name is always complete.
      if (!(await isIntact(copy, digest))) throw err;
    });
  }
  const moved = (path: string) => join(copy, "bin", basename(path));
  return {
    initdb: moved(binaries.initdb),
    postgres: moved(binaries.postgres),
    pgCtl: moved(binaries.pgCtl),
  };
}

/** False if the copy must be made. A copy that root did not make is refused, because its owner could change the programs. */
async function isIntact(copy: string, digest: string): Promise<boolean> {
  const folder = await lstat(copy).catch(() => undefined);
  if (!folder) return false;
  if (!folder.isDirectory() || folder.uid !== 0 || (folder.mode & 0o022) !== 0) {
    throw new Error(`${copy} was not made by root. Remove it, then start again.`);
  }
  if ((await digestOf(copy)) === digest) return true;
  await rm(copy, { recursive: true });
  return false;
}

/** Covers all names and sizes, and the server program (with its build id). All 60 MB would take a second at each start. */
async function digestOf(folder: string): Promise<string> {
  const server = await readFile(join(folder, "bin/postgres")).catch(() => "");
  const hash = createHash("sha256").update(server);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const path of paths.sort()) {
    const { size } = await lstat(path);
    hash.update(`${path.slice(folder.length)}\0${size}\0`);
  }
  return hash.digest("hex");
}

/** Sets the modes, because with a umask of 077 npm unpacks programs that only root can read. */
async function copyFolder(from: string, to: string): Promise<void> {
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      await mkdir(target);
      await copyFolder(source, target);
    } else if (entry.isSymbolicLink()) {
      await symlink(await readlink(source), target);
    } else {
      await copyFile(source, target);
      await chmod(target, 0o755);
    }
  }
}
