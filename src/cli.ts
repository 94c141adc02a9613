#!/usr/bin/env node
import { type Command, type Outcome, UsageError } from "./commands/command.ts";
import { USAGE } from "./commands/usage.ts";
import { EXIT } from "./exit-code.ts";
import { requireNode } from "./node-version.ts";
import { createOutput } from "./output.ts";
import { readVersion } from "./version.ts";

/** Loads only the command that runs, because loading takes most of the time of all commands except `start`. */
const COMMANDS: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  start: () => import("./commands/start.ts"),
  demo: () => import("./commands/demo.ts"),
  migrate: () => import("./commands/migrate.ts"),
  plan: () => import("./commands/plan.ts"),
  status: () => import("./commands/status.ts"),
  rules: () => import("./commands/rules.ts"),
  explain: () => import("./commands/explain.ts"),
  doctor: () => import("./commands/doctor.ts"),
  token: () => import("./commands/token.ts"),
  prune: () => import("./commands/prune.ts"),
  top: () => import("./commands/top.ts"),
};

async function run([name, ...args]: string[]): Promise<Outcome | undefined> {
  if (name === "--help" || name === "help") return { text: USAGE };
  if (name === "--version") return { text: readVersion() };
  const load = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!load) throw new UsageError(name ? `there is no command ${name}` : "no command", USAGE);
  const { command } = await load();
  if (args.includes("--help")) return { text: command.help };
  return command.run(args);
}

/** Prints a result, waiting for a slow reader. A reader that closes the pipe early, as `head` does, ends the command without an error. */
function print({ text, exitCode }: Outcome): void {
  if (exitCode) process.exitCode = exitCode;
  process.stdout.once("error", (err: NodeJS.ErrnoException) => {
    if (err.code !== "EPIPE") fail(err);
    process.exit();
  });
  process.stdout.write(`${text}\n`);
}

function fail(err: unknown): void {
  const message = `${err instanceof Error ? err.message : String(err)}\n`;
  createOutput(2).write(err instanceof UsageError ? `${message}\n${err.help}\n` : message);
  process.exitCode = EXIT.broken;
}

try {
  requireNode(process.versions.node);
  const outcome = await run(process.argv.slice(2));
  if (outcome) print(outcome);
} catch (err) {
  fail(err);
}
