import { execFile, spawnSync } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** The operating system's user that runs the server; undefined where it is the one that runs us. */
export type Account = { name: string; uid: number; gid: number } | undefined;

/**
 * PostgreSQL refuses to run as root. Root therefore runs it as the owner of the data that is there already, else
 * as `postgres`, else as `nobody`.
 */
export async function chooseAccount(dir: string): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(join(dir, "data")).catch(() => undefined);
  const users = await readUsers();
  const account =
    owner && owner.uid !== 0
      ? { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid }
      : (users.get("postgres") ?? users.get("nobody"));
  if (!account) {
    throw new Error(
      "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody. " +
        "Create one (useradd --system postgres), start as another user, or set DATABASE_URL.",
    );
  }
  const { error } = spawnSync("/bin/sh", ["-c", "exit 0"], asAccount(account));
  if (error) {
    throw new Error(
      `PostgreSQL refuses to run as root, and root may not become ${account.name} here. ` +
        "Start as another user, or set DATABASE_URL.",
      { cause: error },
    );
  }
  return account;
}

/** Asks the kernel, not the mode bits: access lists and security modules count too. */
export function canEnter(account: Account, folder: string): boolean {
  return spawnSync("/bin/sh", ["-c", 'cd "$1"', "sh", folder], asAccount(account)).status === 0;
}

/** Runs a program to its end as this account; a failure carries what it wrote to stderr. */
export async function runAs(account: Account, file: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, asAccount(account));
  return stdout;
}

/**
 * Spawn options: who, and nothing inherited. No PG* variable of ours reaches a server or initdb, and none stands in
 * a folder it may not read (initdb 15 wants to return to where it started).
 */
export function asAccount(account: Account) {
  return {
    cwd: "/",
    env: { LC_ALL: "C" }, // Windows' own needs (SYSTEMROOT, TEMP) are added by libuv
    // Node wants a signed number here: nobody is -2 on macOS, 4294967294 to stat and chown.
    ...(account && { uid: account.uid | 0, gid: account.gid | 0 }),
  };
}

async function readUsers() {
  const users = new Map<string, NonNullable<Account>>();
  for (const line of (await readFile("/etc/passwd", "utf8")).split("\n")) {
    const [name = "", , uid, gid] = line.split(":");
    users.set(name, { name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 });
  }
  return users;
}
