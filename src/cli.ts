#!/usr/bin/env node
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { USAGE, UsageError } from "./commands/usage.ts";
import { createOutput } from "./output.ts";
import { readVersion } from "./version.ts";

/** Only these verify or sign tokens. */
const NEEDS_KEY = ["start", "token"];

/** Loads only the command that runs, because loading takes most of the time of all commands except `start`. */
async function run([command = "", ...args]: string[], ttl: string): Promise<void> {
  const { loadConfig } = await import("./main.ts");
  const config = loadConfig({ needsKey: NEEDS_KEY.includes(command) });
  const folders = args.map((folder) => resolve(folder));
  switch (command) {
    case "start":
      return (await import("./commands/start.ts")).start(config);
    case "migrate":
      return print(await (await import("./commands/migrate.ts")).migrate(config, folders));
    case "plan":
      return print(await (await import("./commands/plan.ts")).plan(config, folders));
    case "status":
      return print(await (await import("./commands/status.ts")).status(config, folders));
    case "token":
      return print(await (await import("./commands/token.ts")).token(config, args[0], ttl));
    case "prune":
      return print(await (await import("./commands/prune.ts")).prune(config));
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
