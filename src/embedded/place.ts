import { createHash } from "node:crypto";
import { access, chown, constants, lstat, mkdir, readdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Logger } from "../logger.ts";
import { type Account, canEnter, chooseAccount, runAs } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { shareBinaries } from "./shared-copy.ts";

/** The folder, programs and account of a server. `dir` contains `data` (PostgreSQL's own folder) and `server.log`. */
export type Place = { dir: string; binaries: Binaries; account: Account };

/** The files that we create in `dir`, and `lost+found` of a volume. Other files mean that the folder is not ours. */
const OURS = /^(data|server\.log|new-.*|lost\+found)$/;

/**
 * Makes sure that the server's account can run its programs and write its folder. Only root may get another place than the
 * requested one: the server's account cannot enter a checkout in /root or in a `mktemp -d`, so programs and data go to /var/tmp.
 */
export async function choosePlace(options: {
  dir: string;
  binaries: Binaries;
  log: Logger;
}): Promise<Place> {
  const { binaries, log } = options;
  let dir = resolve(options.dir);
  const account = await chooseAccount(dir);
  await mkdir(dirname(dir), { recursive: true }).catch(refuse(dir));
  if (account && !canEnter(account, dirname(dir))) {
    const closed = dir;
    dir = await makeOpenFolder(dir, account);
    log.info(
      { dir, wanted: closed, account: account.name },
      "using another database folder: PostgreSQL does not run as root, and its account cannot enter the requested one",
    );
  }
  await claimFolder(dir, account);
  const isOpen = !account || (await canRun(account, binaries.postgres));
  return { dir, account, binaries: isOpen ? binaries : await shareBinaries(binaries, log) };
}

async function canRun(account: Account, program: string): Promise<boolean> {
  // If the program is broken rather than inaccessible, its copy fails too, with the reason.
  return await runAs(account, program, ["--version"]).then(
    () => true,
    () => false,
  );
}

/** Always the same folder for a checkout, so that its data is found again. */
async function makeOpenFolder(dir: string, account: NonNullable<Account>): Promise<string> {
  const folder = `/var/tmp/bellwire-${createHash("sha256").update(dir).digest("hex").slice(0, 16)}`;
  // It may exist already, and not be ours: every user can write /var/tmp.
  await mkdir(folder, { mode: 0o700 }).catch(() => {});
  const found = await lstat(folder);
  if (!found.isDirectory() || ![0, account.uid].includes(found.uid)) {
    throw new Error(
      `${folder} does not belong to ${account.name}. Remove it, or set EMBEDDED_PG_DIR to another folder.`,
    );
  }
  return folder;
}

async function claimFolder(dir: string, account: Account): Promise<void> {
  await mkdir(dir, { recursive: true }).catch(refuse(dir));
  await access(dir, constants.R_OK | constants.W_OK | constants.X_OK).catch(refuse(dir));
  // Before the chown, so that EMBEDDED_PG_DIR=/srv does not change the owner of /srv.
  const strange = (await readdir(dir)).find((name) => !OURS.test(name));
  if (strange) {
    throw new Error(
      `The folder ${dir} contains other files (${strange}). Set EMBEDDED_PG_DIR to a new or empty folder.`,
    );
  }
  if (account) await chown(dir, account.uid, account.gid);
}

function refuse(dir: string) {
  return (err: unknown): never => {
    throw new Error(
      `Cannot write the database folder ${dir}. Give this user the right to write it, or set EMBEDDED_PG_DIR to another folder.`,
      { cause: err },
    );
  };
}
