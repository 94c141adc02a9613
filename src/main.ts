import { existsSync } from "node:fs";
import { type App, startApp } from "./app/app.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { endWithin } from "./last-resort.ts";
import { createLogger, type Logger } from "./logger.ts";
import { createOutput } from "./output.ts";

/** sysexits.h: the configuration is wrong, and trying again will not help. */
const EX_CONFIG = 78;

/** For the last lines of the log, and for threads that ask the disk or the resolver: an exit waits for them. */
const LAST_MS = 5000;

/** The environment, with `.env` of the working directory under it. Ends the process where it is wrong. */
export function loadConfig(): Config {
  if (existsSync(".env")) process.loadEnvFile(".env");
  try {
    return readConfig(process.env);
  } catch (err) {
    if (!(err instanceof ConfigError)) throw err;
    createOutput(2).write(`The configuration is wrong:\n${err.message}\n`);
    return exit(EX_CONFIG);
  }
}

function exit(code: number): never {
  endWithin(LAST_MS);
  process.exit(code);
}

/**
 * An error that nobody expects ends the process, as it would without this; but Node would print it with all that it
 * carries, such as the row that a database error quotes.
 */
export function endOnMistake(log: Logger): void {
  process.on("uncaughtException", (err) => {
    log.fatal({ err }, "ended by a mistake");
    exit(1);
  });
}

/** Runs the service until a signal ends it. */
export async function runService(config: Config, greet: (app: App) => void): Promise<void> {
  const log = createLogger(config.logLevel);
  let app: App | undefined;
  let isStopping = false;
  let stoppingAt = 0;
  endOnMistake(log);

  function onSignal(signal: NodeJS.Signals) {
    if (isStopping) {
      // Not sooner: where npm passes on what the terminal has sent to all of us, one Ctrl-C is two. By hand, for without a
      // handler nothing ends the first process of a container.
      if (performance.now() - stoppingAt > 500) exit(1);
      return;
    }
    isStopping = true;
    stoppingAt = performance.now();
    log.info({ signal }, "stopping; once more ends at once");
    // Streams get `drainMs`; a database that does not answer gets the rest.
    const limitMs = config.drainMs + 5000;
    endWithin(limitMs + LAST_MS);
    setTimeout(() => {
      log.fatal("stopping took too long");
      process.exit(1);
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
        process.exit(1);
      },
    );
  }

  try {
    app = await startApp(config, log);
  } catch (err) {
    log.fatal({ err }, "could not start");
    createOutput(2).write(`${err instanceof Error ? err.message : String(err)}\n`);
    exit(1);
  }
  if (isStopping) stop(app);
  else greet(app);
}
