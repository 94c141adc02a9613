import { createHash } from "node:crypto";
import { access, chown, constants, lstat, mkdir, readdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Logger } from "../logger.ts";
import { type Account, canEnter, chooseAccount, runAs } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { shareBinaries } from "./shared-copy.ts";

/** Where a server lives and who runs it. `dir` holds `data` (PostgreSQL's own folder) and `server.log`. */
export type Place = { dir: string; binaries: Binaries; account: Account };

/** What we put into `dir`; the last is a volume's. Anything else: the folder is somebody else's. */
const OURS = /^(data|server\.log|new-.*|lost\+found)$/;

/**
 * Makes sure that the account that will run the server can reach its programs and write its folder. Only root ever
 * needs another place than the one it asked for: a checkout in /root or in a `mktemp -d` is closed to every other
 * account, so programs and data go to /var/tmp.
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
      "database folder moved: PostgreSQL does not run as root, and this account cannot enter the wanted folder",
    );
  }
  await claimFolder(dir, account);
  const isOpen = !account || (await canRun(account, binaries.postgres));
  return { dir, account, binaries: isOpen ? binaries : await shareBinaries(binaries, log) };
}

async function canRun(account: Account, program: string): Promise<boolean> {
  // A program that is broken, not closed, fails as a copy too, and then says why.
  return await runAs(account, program, ["--version"]).then(
    () => true,
    () => false,
  );
}

/** The same folder for the same checkout, so that its data is found again. */
async function makeOpenFolder(dir: string, account: NonNullable<Account>): Promise<string> {
  const folder = `/var/tmp/bellwire-${createHash("sha256").update(dir).digest("hex").slice(0, 16)}`;
  // May exist, from us or from a stranger: anybody can write /var/tmp.
  await mkdir(folder, { mode: 0o700 }).catch(() => {});
  const found = await lstat(folder);
  if (!found.isDirectory() || ![0, account.uid].includes(found.uid)) {
    throw new Error(
      `${folder} does not belong to ${account.name}. Remove it, or name another folder in EMBEDDED_PG_DIR.`,
    );
  }
  return folder;
}

async function claimFolder(dir: string, account: Account): Promise<void> {
  await mkdir(dir, { recursive: true }).catch(refuse(dir));
  await access(dir, constants.R_OK | constants.W_OK | constants.X_OK).catch(refuse(dir));
  // Before the chown: EMBEDDED_PG_DIR=/srv must not give /srv away.
  const strange = (await readdir(dir)).find((name) => !OURS.test(name));
  if (strange) {
    throw new Error(
      `The folder ${dir} holds something else (${strange}). Name a new or an empty one in EMBEDDED_PG_DIR.`,
    );
  }
  if (account) await chown(dir, account.uid, account.gid);
}

function refuse(dir: string) {
  return (err: unknown): never => {
    throw new Error(
      `Cannot write the database folder ${dir}. Give this user the right to, or name another in EMBEDDED_PG_DIR.`,
      { cause: err },
    );
  };
}
