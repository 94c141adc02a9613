#!/usr/bin/env node
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { migrate } from "./commands/migrate.ts";
import { plan } from "./commands/plan.ts";
import { prune } from "./commands/prune.ts";
import { status } from "./commands/status.ts";
import { token } from "./commands/token.ts";
import { USAGE, UsageError } from "./commands/usage.ts";
import { loadConfig } from "./main.ts";
import { createOutput } from "./output.ts";
import { readVersion } from "./version.ts";

/** Only these verify or sign tokens. */
const NEEDS_KEY = ["start", "token"];

async function run([command = "", ...args]: string[], ttl: string): Promise<void> {
  const config = loadConfig({ needsKey: NEEDS_KEY.includes(command) });
  const folders = args.map((folder) => resolve(folder));
  switch (command) {
    case "start":
      // Loaded only here, because the service takes longer to load than all the rest.
      return (await import("./commands/start.ts")).start(config);
    case "migrate":
      return print(await migrate(config, folders));
    case "plan":
      return print(await plan(config, folders));
    case "status":
      return print(await status(config, folders));
    case "token":
      return print(await token(config, args[0], ttl));
    case "prune":
      return print(await prune(config));
    default:
      throw new UsageError(command ? `there is no command ${command}` : "no command");
  }
}

/** Prints a result, waiting for a slow reader. A reader that closes the pipe early, as `head` does, ends the command without an error. */
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
