import { resolve } from "node:path";
import { type DatabaseConfig, readDoctorConfig } from "../config.ts";
import { asService } from "../db/pool.ts";
import { examineDatabase } from "../doctor/database/examine.ts";
import { report } from "../doctor/report.ts";
import { loadConfig } from "../main.ts";
import { readFiles } from "../migrate/files.ts";
import { createCommand } from "./command.ts";
import { migrationUrl } from "./migration-url.ts";

export const command = createCommand({
  help: `bellwire doctor [--rules DIR] [--json]

Says what is wrong with the database's side: connections, LISTEN, roles, settings, schema, rules, load. Each finding has what was seen, why it
matters and what to do. Changes nothing; sends one NOTIFY, which running services ignore. Run it where the service runs, with its environment;
the login that runs migrate sees more. --rules is the folder of your rules. Exits with 1 where a person should look, with 2 where the bell does
not ring. Reads DATABASE_URL, DIRECT_DATABASE_URL, DATABASE_POOL_SIZE, RETENTION_DAYS and JWT_LEEWAY_SECONDS.`,
  options: { json: { type: "boolean", default: false }, rules: { type: "string" } },
  async run({ args, values: { json, rules }, misuse }) {
    if (args.length > 0) return misuse("doctor takes options only");
    const { database, ...config } = loadConfig(readDoctorConfig);
    const files = rules === undefined ? [] : readFiles({ folders: [resolve(rules)] });
    const findings = await examineDatabase({
      ...urlsOf(database),
      ...config,
      rules: files.filter(({ isFurther }) => isFurther),
    });
    return report(findings, json ? "json" : "text");
  },
});

function urlsOf(database: DatabaseConfig) {
  if (database.kind === "embedded") {
    const url = migrationUrl({ database });
    const name = "the demo's database";
    return { service: { name, url: asService(url) }, direct: { name, url } };
  }
  const { url, directUrl } = database;
  const direct = url === directUrl ? "DATABASE_URL" : "DIRECT_DATABASE_URL";
  return { service: { name: "DATABASE_URL", url }, direct: { name: direct, url: directUrl } };
}
