#!/usr/bin/env node
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { App } from "./app/app.ts";
import { prune } from "./commands/prune.ts";
import type { Config } from "./config.ts";
import { verificationKey } from "./http/auth/keys.ts";
import { createMinter } from "./http/auth/sign.ts";
import { createLogger } from "./logger.ts";
import { loadConfig, runService } from "./main.ts";
import { migrate, plan } from "./migrate/migrate.ts";
import { formatStatus, status } from "./migrate/status.ts";
import { createOutput } from "./output.ts";
import { readVersion } from "./version.ts";

const USAGE = `bellwire <command>

  start                          run the service; without DATABASE_URL, with a PostgreSQL of its own
  migrate [folder…]              bring the database up to date; folders hold rules, as sql/rules does
  plan [folder…]                 print what migrate would run, as one SQL text
  status [folder…]               migrations, drifted functions, rules, roles; exit 1 on drift and broken rules
  token <recipient> [--ttl 1h]   print a token for a recipient (s, m, h, d)
  prune                          delete notifications older than RETENTION_DAYS
  --version                      print the version
`;

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Only these verify or sign tokens. */
const NEEDS_KEY = ["start", "token"];

async function run([command = "", ...args]: string[], ttl: string): Promise<void> {
  const config = loadConfig({ needsKey: NEEDS_KEY.includes(command) });
  const folders = args.map((folder) => resolve(folder));
  switch (command) {
    case "start":
      return runService(config, greet);
    case "migrate": {
      const log = createLogger(config.logLevel);
      const { applied } = await migrate({ url: migrationUrl(config), folders, log });
      return print(applied.length === 0 ? "Nothing to do." : `Applied:\n${applied.join("\n")}`);
    }
    case "plan":
      return print(await plan({ url: migrationUrl(config), folders }));
    case "status": {
      const found = await status({ url: migrationUrl(config), folders });
      print(formatStatus(found));
      if (found.drifted || found.broken) process.exitCode = 1;
      return;
    }
    case "token": {
      const [recipientId] = args;
      if (!recipientId) throw new UsageError("token needs a recipient");
      const mint = createMinter({ ...config.token, key: await verificationKey(config) });
      return print(await mint(recipientId, parseTtl(ttl)));
    }
    case "prune": {
      const { retentionDays } = config;
      const pruned = await prune({ url: migrationUrl(config), retentionDays });
      return print(`Deleted ${pruned} notifications older than ${retentionDays} days.`);
    }
    default:
      throw new UsageError(command ? `there is no command ${command}` : "no command");
  }
}

class UsageError extends Error {}

/** The direct connection; in embedded mode the server that `start` keeps running. */
function migrationUrl({ database }: Config): string {
  if (database.kind === "external") return database.directUrl;
  return `postgres://postgres:postgres@127.0.0.1:${database.port}/bellwire`;
}

function parseTtl(text: string): number {
  const [, count, unit] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  if (!count) throw new UsageError(`--ttl is a number and s, m, h or d, as in 30m; not ${text}`);
  return Number(count) * SECONDS[unit as keyof typeof SECONDS];
}

function greet({ address, embeddedUrl }: App): void {
  if (!embeddedUrl) return;
  createOutput(1).write(`
  Bellwire is running with a PostgreSQL of its own.

  page    ${address}
  psql    psql ${embeddedUrl}
          insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello');
  token   npm run -s token -- 2
  stream  curl -N -H "Authorization: Bearer $(npm run -s token -- 2)" ${address}/api/notifications/stream

`);
}

/** For whoever reads it, however slowly; who has read enough, as `head` has, ends the command. */
function print(text: string): void {
  process.stdout.once("error", (err: NodeJS.ErrnoException) => {
    if (err.code !== "EPIPE") fail(err);
    process.exit();
  });
  process.stdout.write(`${text}\n`);
}

function fail(err: unknown): void {
  const isUsage =
    err instanceof UsageError ||
    (err instanceof Error && "code" in err && String(err.code).startsWith("ERR_PARSE_ARGS"));
  const message = `${err instanceof Error ? err.message : String(err)}\n`;
  createOutput(2).write(isUsage ? `${message}\n${USAGE}` : message);
  process.exitCode = isUsage ? 64 : 1;
}

try {
  const options = {
    ttl: { type: "string", default: "1h" },
    help: { type: "boolean" },
    version: { type: "boolean" },
  } as const;
  const { positionals, values } = parseArgs({ allowPositionals: true, options });
  if (values.help) print(USAGE);
  else if (values.version) print(readVersion());
  else await run(positionals, values.ttl);
} catch (err) {
  fail(err);
}
