import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import type { App } from "./app/app.ts";
import { type Config, ConfigError } from "./config.ts";
import { EXIT } from "./exit-code.ts";
import { killAfter } from "./last-resort.ts";
import { createLogger, type Logger } from "./logger.ts";
import { createOutput } from "./output.ts";

/** An exit waits for the last log lines, and for threads that wait for the disk or the DNS resolver. This limits that time. */
const LAST_MS = 5000;

/** Reads the environment, and from `.env` in the working directory what it lacks. Exits if what `read` needs of it is wrong. */
export function loadConfig<Read>(read: (environment: NodeJS.ProcessEnv) => Read): Read {
  try {
    Object.assign(process.env, { ...readEnvFile(), ...process.env });
    return read(process.env);
  } catch (err) {
    if (!(err instanceof ConfigError)) throw err;
    createOutput(2).write(`The configuration is wrong:\n${err.message}\n`);
    return exit(EXIT.settings);
  }
}

function readEnvFile(): NodeJS.Dict<string> {
  if (!existsSync(".env")) return {};
  try {
    // Not by `process.loadEnvFile`: a byte order mark, which editors on Windows write, would hide the first variable.
    return parseEnv(readFileSync(".env", "utf8").replace(/^\uFEFF/, ""));
  } catch (cause) {
    const path = resolve(".env");
    const { code, message } = cause as NodeJS.ErrnoException;
    // Docker makes a folder for a mount whose file does not exist.
    if (code === "EISDIR") throw new ConfigError(`✖ ${path} is a folder. It should be a file.`);
    throw new ConfigError(`✖ Cannot read ${path}: ${message}`);
  }
}

function exit(code: number): never {
  killAfter(LAST_MS);
  process.exit(code);
}

/**
 * An unexpected error ends the process, as it would without this handler. But without it Node would print the whole error, which may
 * quote a row of the database.
 */
export function exitOnUnexpectedError(log: Logger): void {
  process.on("uncaughtException", (err) => {
    log.fatal({ err }, "unexpected error");
    exit(EXIT.broken);
  });
}

/** Runs the service until a signal ends it. */
export async function runService(
  config: Config,
  greet: (app: App) => void,
  start: (config: Config, log: Logger) => Promise<App>,
): Promise<void> {
  const log = createLogger(config.logLevel);
  let app: App | undefined;
  let isStopping = false;
  let stoppingAt = 0;
  exitOnUnexpectedError(log);

  function onSignal(signal: NodeJS.Signals) {
    if (isStopping) {
      // Under npm one Ctrl-C arrives twice: from the terminal, and passed on by npm. So a second one counts only after 500 ms.
      // We exit ourselves, because without a handler no signal ends process 1 of a container.
      if (performance.now() - stoppingAt > 500) exit(EXIT.look);
      return;
    }
    isStopping = true;
    stoppingAt = performance.now();
    log.info({ signal }, "stopping; a second signal stops at once");
    // The streams take `drainMs`. The other 5 s are for a database that does not answer.
    const limitMs = config.drainMs + 5000;
    killAfter(limitMs + LAST_MS);
    setTimeout(() => {
      log.fatal("stopping took too long");
      process.exit(EXIT.broken);
    }, limitMs).unref();
    if (app) stop(app);
  }
  // systemd and Docker send SIGTERM, PM2 SIGINT.
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);

  function stop({ close }: App) {
    close().then(
      () => process.exit(0),
      (err) => {
        log.fatal({ err }, "could not stop cleanly");
        process.exit(EXIT.broken);
      },
    );
  }

  try {
    app = await start(config, log);
  } catch (err) {
    log.fatal({ err }, "could not start");
    createOutput(2).write(`${err instanceof Error ? err.message : String(err)}\n`);
    exit(EXIT.broken);
  }
  if (isStopping) return stop(app);
  // PM2 with `wait_ready` waits for this word.
  process.send?.("ready");
  greet(app);
}
