import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { asAccount, chooseAccount } from "../../../src/embedded/account.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { findPort } from "./ports.ts";

const PROGRAM = "/usr/sbin/pgbouncer";

/** Whether Debian's is installed. */
export const hasPgbouncer = existsSync(PROGRAM);

export interface PgbouncerOptions {
  postgresPort: number;
  user: string;
  password: string;
  /** Sessions with PostgreSQL, which all clients share. */
  poolSize: number;
  /** More settings of its file: general ones, and those of its connections to PostgreSQL. */
  settings?: Record<string, string | number>;
  connection?: Record<string, string>;
}

/** A pooler in transaction mode, otherwise with its defaults. */
export async function startPgbouncer(options: PgbouncerOptions) {
  const { postgresPort, user, password, poolSize, settings = {}, connection = {} } = options;
  const port = await findPort();
  const folder = await mkdtemp(join(tmpdir(), "bellwire-pgbouncer-"));
  await chmod(folder, 0o755); // it refuses to run as root
  const connect = Object.entries(connection).map(
    ([name, value]) => ` ${name}='${value.replaceAll("'", "''")}'`,
  );
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const config = `
[databases]
* = host=127.0.0.1 port=${postgresPort}${connect.join("")}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${folder}/users.txt
pool_mode = transaction
default_pool_size = ${poolSize}
${lines.join("\n")}
`;
  await writeFile(join(folder, "users.txt"), `"${user}" "${password}"\n`);
  await writeFile(join(folder, "pgbouncer.ini"), config);
  const child = spawn(PROGRAM, [join(folder, "pgbouncer.ini")], {
    ...asAccount(await chooseAccount(folder)),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });

  async function close(): Promise<void> {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
  closeAfterTest(close);

  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`pgbouncer did not start:\n${said}`);
    await delay(20);
  }
  return {
    url: (database: string) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    close,
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
