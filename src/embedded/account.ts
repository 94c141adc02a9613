import { execFile, spawnSync } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** The operating system's user that runs the server. Undefined if it is the user of this process. */
export type Account = { name: string; uid: number; gid: number } | undefined;

/**
 * PostgreSQL refuses to run as root. So root runs it as the owner of the existing data, else as `postgres`, else as
 * `nobody`.
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
      "PostgreSQL refuses to run as root, and this system has neither a user postgres nor a user nobody. " +
        "Create one (useradd --system postgres), start as another user, or set DATABASE_URL.",
    );
  }
  const { error } = spawnSync("/bin/sh", ["-c", "exit 0"], asAccount(account));
  if (error) {
    throw new Error(
      `PostgreSQL refuses to run as root, and root may not switch to ${account.name} on this system. ` +
        "Start as another user, or set DATABASE_URL.",
      { cause: error },
    );
  }
  return account;
}

/** Tries it instead of reading the mode bits, because access lists and security modules also decide. */
export function canEnter(account: Account, folder: string): boolean {
  return spawnSync("/bin/sh", ["-c", 'cd "$1"', "sh", folder], asAccount(account)).status === 0;
}

/** Runs a program as this account and waits for its exit. An error contains its stderr. */
export async function runAs(account: Account, file: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, asAccount(account));
  return stdout;
}

/**
 * Spawn options: the account, and nothing inherited. No PG* variable of this process reaches a server or initdb. The working
 * directory is one that the account may read, because initdb 15 returns to it.
 */
export function asAccount(account: Account) {
  return {
    cwd: "/",
    env: { LC_ALL: "C" }, // libuv adds what Windows needs (SYSTEMROOT, TEMP)
    // Node needs a signed number here: nobody is -2 on macOS, but 4294967294 for stat and chown.
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
