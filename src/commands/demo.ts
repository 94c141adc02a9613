import { startApp } from "../app/app.ts";
import { readDemoConfig } from "../config.ts";
import { loadConfig, runService } from "../main.ts";
import { createCommand } from "./command.ts";
import { greet } from "./greet.ts";

export const command = createCommand({
  help: `bellwire demo

Runs the service with an embedded PostgreSQL and the example marketplace, also if DATABASE_URL is set.`,
  async run() {
    await runService(loadConfig(readDemoConfig), greet, startApp);
    return undefined;
  },
});
