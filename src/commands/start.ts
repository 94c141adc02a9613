import { startApp } from "../app/app.ts";
import { readConfig } from "../config.ts";
import { loadConfig, runService } from "../main.ts";
import { createCommand } from "./command.ts";
import { greet } from "./greet.ts";

export const command = createCommand({
  help: `bellwire start

Runs the service until SIGTERM or SIGINT. Without DATABASE_URL it runs the demo: an embedded PostgreSQL with the example marketplace.
README.md has all variables.`,
  async run() {
    await runService(loadConfig(readConfig), greet, startApp);
    return undefined;
  },
});
