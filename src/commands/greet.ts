import { spawnSync } from "node:child_process";
import { relative } from "node:path";
import type { App } from "../app/app.ts";
import { createOutput } from "../output.ts";

/** Prints what to do with the demo once it runs. */
export function greet({ address, embeddedUrl }: App): void {
  if (!embeddedUrl) return;
  // The program that was started, in a checkout or in an installed package.
  const bellwire = `node ${relative("", process.argv[1] ?? "")}`;
  createOutput(1).write(`
  Bellwire is running with an embedded PostgreSQL.

  page    ${address}
  psql    psql ${embeddedUrl}
          insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello');
  token   ${bellwire} token 2
  stream  curl -N -H "Authorization: Bearer $(${bellwire} token 2)" ${address}/api/notifications/stream
${hasPsql() ? "" : WITHOUT_PSQL}
`);
}

/** The embedded PostgreSQL has no psql. */
const WITHOUT_PSQL =
  "\n  psql is not installed here: use any other client with that URL, or the page.\n";

const hasPsql = () => spawnSync("psql", ["--version"], { stdio: "ignore" }).error === undefined;
